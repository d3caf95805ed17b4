/* A planted bug: a write past the end of a buffer, and the crash that it causes much later.
 *
 * Tasks live side by side in one pool. Each ends with a small log. log_append() lets a text fill the log to the last
 * byte and then puts its terminating zero one byte behind: into the magic number of the next task. The first log that
 * is filled to the brim is that of "logger", task 2; its neighbour, task 3, sleeps for most of the run, and only when
 * it is woken does the scheduler look at its magic number and panic.
 *
 * From the panic, `watch tasks[3].magic` and reverse-continue lead straight into log_append(). */
#include "machine.h"

enum { TASKS = 6, LOG_SIZE = 32, WAKE_UP_ROUND = 900 };

#define TASK_MAGIC 0x5461736b4d616769ul

struct task {
    uint64_t magic; /* TASK_MAGIC for as long as the task lives */
    const char *name;
    void (*run)(struct task *task);
    uint64_t wake_up; /* the scheduler's round from which on the task runs */
    uint64_t runs;
    uint64_t result;
    uint64_t log_used;
    char log[LOG_SIZE];
};

struct task tasks[TASKS];
unsigned task_count;
uint64_t rounds; /* not ticks decide what happens: so it is the same at any speed of the guest's clock */
volatile uint64_t ticks;

void on_timer(struct frame *frame) {
    (void)frame;
    ticks++;
    timer_done();
}

__attribute__((noinline)) static void panic_bad_magic(unsigned number) {
    print("PANIC: bad magic in task %u (expected %lx, found %lx)\n", number, TASK_MAGIC, tasks[number].magic);
    halt();
}

__attribute__((noinline)) static void log_append(struct task *task, const char *text) {
    while (*text && task->log_used < LOG_SIZE)
        task->log[task->log_used++] = *text++;
    task->log[task->log_used] = 0; /* the bug: log_used may be LOG_SIZE here */
}

__attribute__((noinline)) static void run_adder(struct task *task) {
    for (uint64_t i = 0; i < 200; i++)
        task->result += i ^ task->runs;
}

__attribute__((noinline)) static void run_mixer(struct task *task) {
    for (uint64_t i = 0; i < 200; i++)
        task->result = task->result * 6364136223846793005ull + i;
}

__attribute__((noinline)) static void run_logger(struct task *task) {
    if (task->runs % 20 == 0 && task->log_used < LOG_SIZE)
        log_append(task, "run, ");
}

__attribute__((noinline)) static void run_sleeper(struct task *task) { log_append(task, "awake"); }

__attribute__((noinline)) static void run_reporter(struct task *task) {
    if (task->runs % 100 == 0)
        print("round %lu adder=%lx\n", rounds, tasks[0].result);
}

__attribute__((noinline)) static void run_idler(struct task *task) {
    if (task->runs % 500 == 0)
        idle();
}

__attribute__((noinline)) static struct task *task_create(const char *name, void (*run)(struct task *task)) {
    struct task *task = &tasks[task_count++];
    task->magic = TASK_MAGIC;
    task->name = name;
    task->run = run;
    return task;
}

__attribute__((noinline)) static void schedule(void) {
    for (unsigned number = 0; number < task_count; number++) {
        struct task *task = &tasks[number];
        if (rounds < task->wake_up)
            continue;
        if (task->magic != TASK_MAGIC)
            panic_bad_magic(number);
        task->run(task);
        task->runs++;
    }
    rounds++;
}

int main(void) {
    machine_start(1000);
    print("heapbug: up\n");
    task_create("adder", run_adder);
    task_create("mixer", run_mixer);
    task_create("logger", run_logger);
    task_create("sleeper", run_sleeper)->wake_up = WAKE_UP_ROUND;
    task_create("reporter", run_reporter);
    task_create("idler", run_idler);
    for (;;)
        schedule();
}
