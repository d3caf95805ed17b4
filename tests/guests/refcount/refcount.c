/* A module of a Linux kernel with a race that a plain boot hardly ever shows: a reference that is counted too late.
 *
 * A reader looks which thing is published, and counts that it holds it. A writer, of higher priority, publishes another
 * one now and then, and lets go of the old one, which is freed when nobody holds it. If the writer comes between the
 * reader's look and its count, the reader goes on with a thing that is freed. How long it works with one is told by the
 * time stamp counter, as a cache or a bus would make it; the gap is one instruction wide, and a round has 12,000. */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/timex.h>

enum { ROUNDS = 64, REST = 8, PAUSE_US = 1500 };

struct thing {
    int count;
    bool alive;
    char content[120];
};

static struct thing *published;
static bool over;
static u64 results;
static DECLARE_COMPLETION(reader_over);
static DECLARE_COMPLETION(writer_over);

static struct thing *thing_new(void)
{
    struct thing *thing = kzalloc(sizeof(*thing), GFP_KERNEL);

    if (!thing)
        panic("refcount: no memory");
    thing->count = 1;
    thing->alive = true;
    return thing;
}

static noinline void thing_put(struct thing *thing)
{
    if (--thing->count)
        return;
    WRITE_ONCE(thing->alive, false);
    kfree(thing);
}

static noinline struct thing *thing_get(void)
{
    struct thing *thing = READ_ONCE(published);

    thing->count++; /* the bug: it may have been freed since */
    return thing;
}

static noinline void thing_use(struct thing *thing)
{
    if (!READ_ONCE(thing->alive))
        panic("refcount: a thing is used that was freed");
    results += thing->content[0];
}

static noinline void work(u64 amount)
{
    u64 i;

    for (i = 0; i < amount; i++)
        results = results * 6364136223846793005ul + i;
}

static int reader(void *unused)
{
    int round;

    for (round = 1; round <= ROUNDS; round++) {
        struct thing *thing = thing_get();

        work(get_cycles() * 2654435761ul >> 16 & 0xfff);
        thing_use(thing);
        thing_put(thing);
        if (round % REST == 0)
            usleep_range(200, 200);
    }
    WRITE_ONCE(over, true);
    complete(&reader_over);
    return 0;
}

static int writer(void *unused)
{
    while (!READ_ONCE(over)) {
        struct thing *old = published;

        usleep_range(PAUSE_US, PAUSE_US);
        published = thing_new();
        thing_put(old);
    }
    complete(&writer_over);
    return 0;
}

static int __init refcount_begin(void)
{
    struct task_struct *task;

    published = thing_new();
    pr_alert("refcount: up\n");
    task = kthread_run(writer, NULL, "writer");
    if (IS_ERR(task))
        return PTR_ERR(task);
    sched_set_fifo(task);
    task = kthread_run(reader, NULL, "reader");
    if (IS_ERR(task))
        return PTR_ERR(task);
    wait_for_completion(&reader_over);
    wait_for_completion(&writer_over);
    pr_alert("refcount: done\n");
    return 0;
}

module_init(refcount_begin);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A reference that is counted too late, for a debugger");
