/* A program of a Linux guest that tells what it does: where it and its library lie, which system calls it makes and
 * what they gave, and who of two processes has written to the same address, how often.
 *
 * What it tells is what rrdbg is to find out without being told. It is linked as programs are today: to be moved
 * (PIE), with a shared library. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

volatile long victim;

static void tell(const char *call, long result)
{
    char line[256];
    int length = result < 0 ? snprintf(line, sizeof line, "witness: %s = -1 %d\n", call, errno)
                            : snprintf(line, sizeof line, "witness: %s = %ld\n", call, result);
    write(1, line, length);
}

__attribute__((noinline)) static void work(int times)
{
    char line[64];
    for (int i = 1; i <= times; i++) {
        victim += i;
        syscall(SYS_sched_yield);
    }
    int length = snprintf(line, sizeof line, "witness: %d wrote %d times\n", (int)getpid(), times);
    write(1, line, length);
}

int main(void)
{
    char line[128], data[16];
    int length = snprintf(line, sizeof line, "witness: main %p puts %p\n", (void *)main, (void *)puts);
    write(1, line, length);

    long fd = syscall(SYS_openat, AT_FDCWD, "/proc/version", O_RDONLY | O_CLOEXEC, 0);
    tell("openat(AT_FDCWD, \"/proc/version\", O_RDONLY|O_CLOEXEC, 00)", fd);
    long got = syscall(SYS_read, fd, data, 5);
    tell("read(3, \"Linux\", 5)", got);
    tell("close(3)", syscall(SYS_close, fd));
    tell("openat(AT_FDCWD, \"/proc/none\", O_WRONLY|O_CREAT|O_EXCL, 0600)",
         syscall(SYS_openat, AT_FDCWD, "/proc/none", O_WRONLY | O_CREAT | O_EXCL, 0600));
    tell("dup(99)", syscall(SYS_dup, 99));
    tell("getppid()", syscall(SYS_getppid));

    pid_t child = fork();
    if (child == 0) {
        work(3);
        return 0;
    }
    work(5);
    waitpid(child, NULL, 0);
    return 0;
}
