/* A weather station: one task measures, the other prints what was measured. One of them does wrong. */
#include <stddef.h>

#include "board.h"
#include "rtos.h"

#define READINGS 8
#define STORM 1000

static volatile uint32_t readings[READINGS];
static volatile uint32_t taken, printed;

static void put_text(const char *text)
{
    while (*text)
        uart_put(*text++);
}

/* A Cortex-M0 cannot divide, and GDB finds no caller of the assembler by which libgcc does it. This takes long, so
 * that the scheduler comes while it goes on in the first storm already. */
__attribute__((noinline)) static uint32_t tenth(uint32_t number)
{
    uint32_t tens = 0;

    for (; number >= 10; number -= 10)
        tens++;
    return tens;
}

static void put_number(uint32_t number)
{
    char digits[12];
    char *digit = digits + sizeof digits - 1;

    *digit = 0;
    do
        *--digit = '0' + number - tenth(number) * 10;
    while ((number = tenth(number)));
    *--digit = ' ';
    put_text(digit);
}

/* The gusts that are to be expected, all of which are known before the first is printed. */
__attribute__((noinline)) static void put_warning(uint32_t force)
{
    uint32_t gusts[24];

    for (unsigned i = 0; i < sizeof gusts / sizeof *gusts; i++)
        gusts[i] = force + i * readings[i % READINGS];
    for (unsigned i = 0; i < sizeof gusts / sizeof *gusts; i++)
        put_number(gusts[i]);
}

static void sensor(void)
{
    uint32_t force = 12345;

    for (;;) {
        force = force * 1103515245 + 12345;
        readings[taken % READINGS] = force >> 22;
        taken++;
        task_sleep(3);
    }
}

static void printer(void)
{
    for (;;) {
        while (printed == taken)
            task_sleep(1);
        uint32_t force = readings[printed++ % READINGS];
        put_text("wind");
        put_number(force);
        if (force > STORM) {
            put_text(" storm, gusts");
            put_warning(force);
        }
        put_text("\n");
    }
}

void hard_fault_handler(void)
{
    put_text("HARD FAULT\n");
    for (;;)
        ;
}

extern uint32_t bss_start[], bss_end[], stack_end[];

void reset_handler(void)
{
    for (uint32_t *word = bss_start; word < bss_end; word++)
        *word = 0;
    uart_start();
    task_create("sensor", sensor, 64);
    task_create("printer", printer, 48);
    scheduler_start();
}

extern void systick_handler(void), pendsv_handler(void), svc_handler(void);

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    [0] = (void (*)(void)) stack_end,
    [1] = reset_handler,
    [2] = hard_fault_handler,
    [3] = hard_fault_handler,
    [4] = hard_fault_handler,
    [5] = hard_fault_handler,
    [6] = hard_fault_handler,
    [11] = svc_handler,
    [14] = pendsv_handler,
    [15] = systick_handler,
};
