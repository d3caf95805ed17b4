/* Prints back what is typed to it, on the serial port a line at a time and on the PS/2 keyboard a scan code at a time,
 * each with the tick at which it came. The line "quit" powers it off. */
#include "machine.h"

#include <stddef.h>

enum { COM1 = 0x3f8, COM1_FIFO = COM1 + 2, COM1_STATUS = COM1 + 5, KEYBOARD = 0x60, KEYBOARD_STATUS = 0x64 };
enum { HAS_DATA = 1, LINE_SIZE = 64 };

volatile uint64_t ticks;
volatile uint64_t typed;
static char line[LINE_SIZE];
static size_t used;

static uint8_t in(unsigned port) {
    uint8_t value;
    __asm__ volatile("inb %w1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static void out(unsigned port, uint8_t value) {
    __asm__ volatile("outb %0, %w1" : : "a"(value), "Nd"(port) : "memory");
}

void on_timer(struct frame *frame) {
    (void)frame;
    ticks++;
    timer_done();
}

static int is(const char *text, const char *other) {
    while (*text && *text == *other)
        text++, other++;
    return *text == *other;
}

__attribute__((noinline)) static void take_character(char character) {
    typed++;
    if (character != '\r' && character != '\n') {
        if (used < LINE_SIZE - 1)
            line[used++] = character;
        return;
    }
    line[used] = 0;
    used = 0;
    print("typed: line '%s' at tick %lu\n", line, ticks);
    if (is(line, "quit"))
        power_off();
}

int main(void) {
    machine_start(1000);
    out(COM1_FIFO, 0x07);
    print("typed: up\n");
    for (;;) {
        if (in(COM1_STATUS) & HAS_DATA)
            take_character((char)in(COM1));
        else if (in(KEYBOARD_STATUS) & HAS_DATA)
            print("typed: key %lx at tick %lu\n", (uint64_t)in(KEYBOARD), ticks);
        else
            idle();
    }
}
