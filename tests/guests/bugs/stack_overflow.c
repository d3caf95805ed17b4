/* A planted bug: a stack that overflows into its neighbour.
 *
 * Two tasks take turns, each with a stack of its own in its control block. The parser measures by recursion how deeply
 * brackets are nested. One text is nested more deeply than its stack can bear: the stack grows down into the control
 * block before it, over the history of the recorder, who looks at it much later. */
#include "machine.h"

enum { STACK_WORDS = 192, HISTORY = 96, LONG_TURN = 150, CHECK_TURN = 1200 };

struct task {
    uint64_t stack[STACK_WORDS];
    uint64_t *sp;
    uint64_t turns;
    uint64_t history[HISTORY]; /* what lies here is next to the stack of the task that follows */
};

struct task tasks[2];
struct task *current = &tasks[0];
unsigned bad; /* the place in the history that was found to be wrong */
uint64_t deepest;

void on_timer(struct frame *frame) {
    (void)frame;
    timer_done();
}

/* Keeps what a call must keep on this stack, and goes on where the other one left off. */
void switch_stacks(uint64_t **from, uint64_t *to);
__asm__(".text\n"
        ".type switch_stacks, @function\n"
        "switch_stacks:\n"
        "push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rsp, (%rdi)\n"
        "mov %rsi, %rsp\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp\n"
        "ret\n"
        ".size switch_stacks, . - switch_stacks\n");

__attribute__((noinline)) static void yield(void) {
    struct task *from = current;
    from->turns++;
    current = &tasks[from == &tasks[0]];
    switch_stacks(&from->sp, current->sp);
}

__attribute__((noinline)) static uint64_t nesting(const char *text) {
    volatile uint64_t place[4] = {*text, *text, *text, *text}; /* a parser would keep names and numbers here */
    return *text == '(' ? nesting(text + 1) + 1 : place[0] - *text; /* the bug: the text decides how deep it goes */
}

__attribute__((noinline)) static void parse(void) {
    for (;;) {
        deepest = nesting(tasks[1].turns == LONG_TURN ? "((((((((((((((((((((((((" : "((((");
        yield();
    }
}

__attribute__((noinline)) static void check_history(void) {
    for (unsigned place = HISTORY; place--;)
        if (tasks[0].history[place] != 1000 + place) {
            bad = place;
            print("PANIC: the recorder's history is wrong: %lx at %u\n", tasks[0].history[place], place);
            halt();
        }
}

__attribute__((noinline)) static void keep_history(void) {
    for (;;) {
        if (tasks[0].turns < HISTORY)
            tasks[0].history[tasks[0].turns] = 1000 + tasks[0].turns;
        if (tasks[0].turns == CHECK_TURN)
            check_history();
        yield();
    }
}

__attribute__((noinline)) static void task_create(struct task *task, void (*run)(void)) {
    uint64_t *top = &task->stack[STACK_WORDS - 1]; /* as a call would leave it; 6 registers lie below the address */
    top[-1] = (uint64_t)run;
    task->sp = top - 7;
}

int main(void) {
    machine_start(1000);
    print("stack_overflow: up\n");
    task_create(&tasks[0], keep_history);
    task_create(&tasks[1], parse);
    uint64_t *boot_stack;
    switch_stacks(&boot_stack, tasks[0].sp);
    halt(); /* nobody switches back */
}
