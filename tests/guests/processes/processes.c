/* The first program of a Linux guest, and the three processes of one program that it starts: they use the same virtual
 * addresses for different memory. Each writes, forks (copy-on-write), maps and unmaps a page at a fixed address, reads
 * from a pipe, which has the kernel write, maps a page of a disk that is dropped from memory and read again, and
 * executes itself once more. In the end one of them finds that its variable is not what it was, and the kernel panics.
 *
 * The functions called mark_... do nothing: tests find places of the recording by them.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MARK __attribute__((noinline, noclone)) void
#define PLACE ((volatile long *)0x10000000)
#define DISK ((volatile long *)0x20000000)

/* A page of its own, private to each process and shared until somebody writes to it. */
__attribute__((aligned(4096))) volatile long value = 7;
volatile char line[4080];
__attribute__((aligned(4096))) volatile long untouched[512];
__attribute__((aligned(4096))) volatile long victim = 0x600dL;
volatile char rest[4088];

MARK mark_round(void) { __asm__ volatile("nop"); }
MARK mark_fork(void) { __asm__ volatile("nop"); }
MARK mark_child(void) { __asm__ volatile("nop"); }
MARK mark_map(void) { __asm__ volatile("nop"); }
MARK mark_unmap(void) { __asm__ volatile("nop"); }
MARK mark_read(void) { __asm__ volatile("nop"); }
MARK mark_drop(void) { __asm__ volatile("nop"); }
MARK mark_dropped(void) { __asm__ volatile("nop"); }
MARK mark_exec(void) { __asm__ volatile("nop"); }
MARK mark_corrupt(void) { __asm__ volatile("nop"); }

static void rounds(long add) {
    for (int i = 0; i < 6; i++) {
        mark_round();
        value += add;
        value = value; /* a write that changes nothing */
        untouched[i] += value;
        sched_yield();
    }
}

static void map(long add) {
    for (int i = 0; i < 2; i++) {
        mark_map();
        if (mmap((void *)PLACE, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
            abort();
        *PLACE = add + i;
        *PLACE += 1;
        sched_yield();
        mark_unmap();
        munmap((void *)PLACE, 4096);
    }
}

static void read_pipe(const char *text) {
    int ends[2];
    if (pipe(ends) || write(ends[1], text, strlen(text) + 1) < 0)
        abort();
    mark_read();
    if (read(ends[0], (void *)line, sizeof line) < 0)
        abort();
    close(ends[0]);
    close(ends[1]);
}

static void fork_one(long add) {
    mark_fork();
    pid_t child = fork();
    if (child == 0) {
        mark_child();
        value += 1000 * add;
        value += 1000 * add;
        _exit(0);
    }
    value += add; /* one of both gets a page of its own */
    waitpid(child, NULL, 0);
}

/* Take memory until the kernel has given the page of the disk back, one process at a time. */
static void press(int disk) {
    const size_t most = 1 << 30, page = 4096;
    unsigned char there = 1;
    char *taken = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (taken == MAP_FAILED || flock(disk, LOCK_EX))
        abort();
    for (size_t at = 0; at < most && (there & 1); at += page) {
        taken[at] = 1;
        if (at % (8 * page) == 0 && mincore((void *)DISK, page, &there))
            abort();
    }
    munmap(taken, most);
    flock(disk, LOCK_UN);
}

/* A page of the disk, for each process another one at the same address: it is dropped as under memory pressure, or
 * under it, and comes back by DMA into other memory. */
static void drop(long add, int under_pressure) {
    int disk = open("/dev/vda", O_RDWR);
    if (disk < 0 ||
        mmap((void *)DISK, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, disk, 4096 * add) == MAP_FAILED)
        abort();
    *DISK += add;
    if (msync((void *)DISK, 4096, MS_SYNC))
        abort();
    mark_drop();
    if (under_pressure)
        press(disk);
    else if (madvise((void *)DISK, 4096, MADV_PAGEOUT))
        abort();
    mark_dropped();
    *DISK += add;
    *DISK += add;
    munmap((void *)DISK, 4096);
    close(disk);
}

/* The disk's drivers, in the order in which they need each other. */
static void load_drivers(void) {
    char name[] = "/modules/0";
    for (; name[9] <= '5'; name[9]++) {
        int module = open(name, O_RDONLY);
        if (module < 0 || syscall(SYS_finit_module, module, "", 0))
            abort();
        close(module);
    }
    if (mount("dev", "/dev", "devtmpfs", 0, NULL))
        abort();
    while (access("/dev/vda", F_OK))
        usleep(1000);
}

static int work(char **argv) {
    long add = argv[1][0] - '0';
    rounds(add);
    fork_one(add);
    map(add << 16);
    read_pipe(argv[1]);
    if (argv[2][0] != 's') {
        drop(add, argv[2][0] == 'p');
        mark_exec();
        execl("/init", "init", argv[1], "second", NULL);
        abort();
    }
    if (add == 2) {
        mark_corrupt();
        victim = 0xbadL;
    }
    rounds(10 * add);
    return victim == 0x600dL ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc > 2)
        return work(argv);
    load_drivers();
    char name[2] = "1";
    for (; name[0] <= '3'; name[0]++) {
        if (fork() == 0) {
            execl("/init", "init", name, getenv("press") ? "pressed" : "first", NULL);
            abort();
        }
    }
    int status, bad = 0;
    while (wait(&status) > 0)
        bad += status != 0;
    printf("rrdbg-guest: %d of the processes failed\n", bad);
    fflush(stdout);
    if (bad)
        return 1; /* the kernel panics where its first program ends */
    reboot(RB_POWER_OFF);
    return 0;
}
