/* A module of a Linux kernel with one planted bug: who has posted a letter may take it back, though others hold it.
 *
 * /dev/mailbox: a write posts a letter, a read delivers the one that was posted last, the same one each time.
 * /dev/notes: a write keeps a note, which has a letter's size. */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

struct stamp {
    size_t value;
};

struct letter {
    const struct stamp *stamp;
    char text[120];
};

static const struct stamp usual = {.value = 85};
static struct letter *last_posted;

static int letter_open(struct inode *inode, struct file *file)
{
    file->private_data = NULL;
    return 0;
}

static ssize_t letter_post(struct file *file, const char __user *from, size_t length, loff_t *at)
{
    struct letter *letter;

    if (file->private_data)
        return -EBUSY;
    letter = kzalloc(sizeof(*letter), GFP_KERNEL);
    if (!letter)
        return -ENOMEM;
    letter->stamp = &usual;
    length = min(length, sizeof(letter->text));
    if (copy_from_user(letter->text, from, length)) {
        kfree(letter);
        return -EFAULT;
    }
    file->private_data = letter;
    last_posted = letter;
    return length;
}

static noinline ssize_t letter_deliver(struct letter *letter, char __user *to, size_t length)
{
    if (letter->stamp->value < 85)
        return -EPERM;
    length = min(length, sizeof(letter->text));
    return copy_to_user(to, letter->text, length) ? -EFAULT : length;
}

static ssize_t letter_read(struct file *file, char __user *to, size_t length, loff_t *at)
{
    /* The bug: the letter is held from now on, and nobody counts that. */
    if (!file->private_data)
        file->private_data = last_posted;
    return file->private_data ? letter_deliver(file->private_data, to, length) : 0;
}

static int letter_take_back(struct inode *inode, struct file *file)
{
    if (file->f_mode & FMODE_WRITE) {
        if (last_posted == file->private_data)
            last_posted = NULL;
        kfree(file->private_data);
    }
    return 0;
}

static ssize_t note_keep(struct file *file, const char __user *from, size_t length, loff_t *at)
{
    void *note = memdup_user(from, min(length, sizeof(struct letter)));

    return IS_ERR(note) ? PTR_ERR(note) : length;
}

static const struct file_operations mailbox_operations = {
    .owner = THIS_MODULE,
    .open = letter_open,
    .read = letter_read,
    .write = letter_post,
    .release = letter_take_back,
};

static const struct file_operations notes_operations = {.owner = THIS_MODULE, .write = note_keep};

static struct miscdevice devices[] = {
    {.minor = MISC_DYNAMIC_MINOR, .name = "mailbox", .fops = &mailbox_operations},
    {.minor = MISC_DYNAMIC_MINOR, .name = "notes", .fops = &notes_operations},
};

static int __init mailbox_begin(void)
{
    int error = misc_register(&devices[0]);

    return error ? error : misc_register(&devices[1]);
}

module_init(mailbox_begin);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A mailbox with a bug, for a debugger");
