/* Three processes that use the module's mailbox: one posts a letter and takes it back, one reads it before and after,
 * and between the two one keeps notes. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOTES = 256, TURNS = 5 };

static int turns[TURNS][2];

static void wait_for(int turn)
{
    char token;
    if (read(turns[turn][0], &token, 1) != 1)
        exit(1);
}

static void begin(int turn)
{
    if (write(turns[turn][1], "", 1) != 1)
        exit(1);
}

static void tell(const char *text)
{
    write(1, text, strlen(text));
}

static void sender(void)
{
    int box = open("/dev/mailbox", O_WRONLY);
    write(box, "Dear reader, ...", 17);
    tell("people: the sender has posted a letter\n");
    begin(1);
    wait_for(2);
    close(box);
    tell("people: the sender has left\n");
    begin(3);
}

static void reader(void)
{
    char text[120];
    int box = open("/dev/mailbox", O_RDONLY);
    wait_for(1);
    read(box, text, sizeof text);
    tell("people: the reader has read it\n");
    begin(2);
    wait_for(4);
    read(box, text, sizeof text);
    tell("people: the reader has read it again\n");
}

static void clerk(void)
{
    char note[128];
    int notes = open("/dev/notes", O_WRONLY);
    memset(note, 'n', sizeof note);
    wait_for(3);
    for (int i = 0; i < NOTES; i++)
        write(notes, note, sizeof note);
    tell("people: the clerk has kept notes\n");
    begin(4);
}

static void start(const char *name, void (*work)(void))
{
    if (fork() == 0) {
        prctl(PR_SET_NAME, name);
        work();
        exit(0);
    }
}

int main(void)
{
    for (int i = 0; i < TURNS; i++)
        if (pipe(turns[i]) != 0)
            return 1;
    start("reader", reader);
    start("clerk", clerk);
    start("sender", sender);
    while (wait(NULL) > 0)
        ;
    tell("people: all have gone\n");
    return 0;
}
