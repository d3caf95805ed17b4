/* The kernel: SysTick counts and asks for PendSV, which saves one task's registers and restores another's. */
#include "board.h"
#include "rtos.h"

#define CYCLES_PER_TICK 5000
#define PEND_SCHEDULER() (REGISTER(0xe000ed04) = 1 << 28)
#define THUMB_STATE 0x01000000

struct task *current;
volatile uint32_t ticks;

static struct task *tasks;
static uint32_t heap[512];
static unsigned heap_used;

static void *heap_take(unsigned words)
{
    heap_used += words;
    return heap + heap_used - words;
}

struct task *task_create(const char *name, void (*function)(void), unsigned words)
{
    uint32_t *top = (uint32_t *) heap_take(words) + words;
    struct task *task = heap_take(sizeof(struct task) / sizeof(uint32_t));

    *--top = THUMB_STATE;
    *--top = (uint32_t) function;
    top -= 6 + 8; /* lr, r12, r3 to r0, which the CPU restores; r11 to r4, which the scheduler does */
    task->top_of_stack = top;
    task->name = name;
    task->next = tasks ? tasks->next : task;
    if (tasks)
        tasks->next = task;
    tasks = task;
    return task;
}

/* Called by the scheduler: the next task, in turn, that sleeps no more; the current one if all others do. */
void choose_task(void)
{
    struct task *task = current;

    do {
        task = task->next;
    } while ((int32_t) (ticks - task->wake_at) < 0 && task != current);
    current = task;
}

void task_sleep(uint32_t duration)
{
    current->wake_at = ticks + duration;
    PEND_SCHEDULER();
    while ((int32_t) (ticks - current->wake_at) < 0)
        __asm__ volatile("wfi"); /* all others sleep, too */
}

void systick_handler(void)
{
    ticks++;
    PEND_SCHEDULER();
}

__attribute__((naked)) void pendsv_handler(void)
{
    __asm__("mrs r0, psp\n"
            "sub r0, #32\n"
            "ldr r3, =current\n"
            "ldr r2, [r3]\n"
            "str r0, [r2]\n" /* current->top_of_stack */
            "stmia r0!, {r4-r7}\n"
            "mov r4, r8\n"
            "mov r5, r9\n"
            "mov r6, r10\n"
            "mov r7, r11\n"
            "stmia r0!, {r4-r7}\n"
            "push {r3, lr}\n"
            "bl choose_task\n"
            "pop {r2, r3}\n"
            "ldr r1, [r2]\n"
            "ldr r0, [r1]\n" /* current->top_of_stack */
            "add r0, #16\n"
            "ldmia r0!, {r4-r7}\n"
            "mov r8, r4\n"
            "mov r9, r5\n"
            "mov r10, r6\n"
            "mov r11, r7\n"
            "msr psp, r0\n"
            "sub r0, #32\n"
            "ldmia r0!, {r4-r7}\n"
            "bx r3\n"
            ".ltorg\n");
}

/* The first task is entered as the scheduler enters the others: by a return from an exception. */
__attribute__((naked)) void svc_handler(void)
{
    __asm__("ldr r2, =current\n"
            "ldr r1, [r2]\n"
            "ldr r0, [r1]\n"
            "add r0, #32\n"
            "msr psp, r0\n"
            "ldr r0, =0xfffffffd\n"
            "bx r0\n"
            ".ltorg\n");
}

void scheduler_start(void)
{
    current = tasks->next;
    REGISTER(0xe000ed20) = 0xffff0000; /* PendSV and SysTick: of the lowest priority */
    REGISTER(0xe000e014) = CYCLES_PER_TICK - 1;
    REGISTER(0xe000e018) = 0;
    REGISTER(0xe000e010) = 7;
    __asm__ volatile("svc #0");
    __builtin_unreachable();
}
