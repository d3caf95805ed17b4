/* What a bare-metal guest needs of a PC: console, timer, interrupts, the power switch. */
#pragma once

#include <stdint.h>

/* What the CPU pushes when it takes an interrupt. */
struct frame {
    uint64_t rip, cs, rflags, rsp, ss;
};

/* Sets up serial port and interrupt table, starts the timer at `hz` interrupts a second and lets them in. */
void machine_start(unsigned hz);

/* Each guest defines these; `frame` may be changed, for instance to skip an instruction. */
void on_timer(struct frame *frame);
void on_invalid_opcode(struct frame *frame); /* #UD; optional, else it panics */
void on_system_call(struct frame *frame);    /* int $0x80; optional, else it panics */

/* Tells the interrupt controller that on_timer() is done. */
void timer_done(void);

/* Writes to COM1. Knows %s, %u, %lu and %lx (uint64_t), and nothing else. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Sleeps until the next interrupt. */
static inline void idle(void) { __asm__ volatile("hlt" ::: "memory"); }

/* Stops for good: interrupts off, nothing executes any more. */
_Noreturn void halt(void);

/* Turns the machine off: QEMU ends. */
_Noreturn void power_off(void);
