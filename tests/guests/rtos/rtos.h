/* A small real-time kernel in the manner of FreeRTOS: tasks with their own stacks, a tick, and a queue. */
#ifndef RTOS_H
#define RTOS_H

#include <stdint.h>

struct task {
    uint32_t *top_of_stack; /* first, where the scheduler's assembly finds it */
    uint32_t wake_at;
    const char *name;
    struct task *next;
};

extern struct task *current;
extern volatile uint32_t ticks;

/* Make a task: its stack, then its control block, are taken from the heap, which only grows. */
struct task *task_create(const char *name, void (*function)(void), unsigned words);

/* Let others run until so many ticks have passed. */
void task_sleep(uint32_t duration);

/* Begin with the task that was made first; returns never. */
void scheduler_start(void);

#endif
