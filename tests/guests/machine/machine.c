#include "machine.h"

#include <stdarg.h>
#include <stddef.h>

enum {
    COM1 = 0x3f8,
    PIC1 = 0x20,
    PIC2 = 0xa0,
    PIT = 0x40,
    PM1_CONTROL = 0x604, /* ACPI; the firmware has put it there on QEMU's pc and q35 */
};

enum { VECTOR_INVALID_OPCODE = 6, VECTOR_EXCEPTIONS = 32, VECTOR_TIMER = 32, VECTOR_SYSTEM_CALL = 0x80, VECTORS };

static inline void outb(uint16_t port, uint8_t value) {
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* Interrupts */

struct gate {
    uint16_t offset_low, selector;
    uint8_t stack, type;
    uint16_t offset_middle;
    uint32_t offset_high, zero;
};

static struct gate gates[VECTORS];

void timer_entry(void), invalid_opcode_entry(void), system_call_entry(void), fault_entry(void);

static void set_gate(int vector, void (*entry)(void)) {
    uint64_t address = (uint64_t)entry;
    gates[vector] = (struct gate){
        .offset_low = address,
        .selector = 8,
        .type = 0x8e, /* present, ring 0, interrupt gate */
        .offset_middle = address >> 16,
        .offset_high = address >> 32,
    };
}

void on_fault(struct frame *frame) {
    (void)frame;
    print("PANIC: unexpected exception\n");
    halt();
}

__attribute__((weak)) void on_invalid_opcode(struct frame *frame) { on_fault(frame); }

__attribute__((weak)) void on_system_call(struct frame *frame) { on_fault(frame); }

void timer_done(void) { outb(PIC1, 0x20); }

static void start_interrupts(unsigned hz) {
    for (int vector = 0; vector < VECTOR_EXCEPTIONS; vector++)
        set_gate(vector, fault_entry);
    set_gate(VECTOR_INVALID_OPCODE, invalid_opcode_entry);
    set_gate(VECTOR_TIMER, timer_entry);
    set_gate(VECTOR_SYSTEM_CALL, system_call_entry);
    struct {
        uint16_t limit;
        struct gate *base;
    } __attribute__((packed)) table = {sizeof gates - 1, gates};
    __asm__ volatile("lidt %0" ::"m"(table));

    outb(PIC1, 0x11), outb(PIC2, 0x11); /* four set-up words follow */
    outb(PIC1 + 1, VECTOR_TIMER), outb(PIC2 + 1, VECTOR_TIMER + 8);
    outb(PIC1 + 1, 4), outb(PIC2 + 1, 2);
    outb(PIC1 + 1, 1), outb(PIC2 + 1, 1);
    outb(PIC1 + 1, 0xfe), outb(PIC2 + 1, 0xff); /* all masked but the timer */

    unsigned divisor = 1193182 / hz;
    outb(PIT + 3, 0x34); /* channel 0, low then high byte, rate generator */
    outb(PIT, divisor);
    outb(PIT, divisor >> 8);
    __asm__ volatile("sti");
}

/* Console */

static void start_console(void) {
    outb(COM1 + 1, 0);          /* no interrupts: we poll */
    outb(COM1 + 3, 0x80);       /* divisor access */
    outb(COM1, 1), outb(COM1 + 1, 0); /* 115200 baud */
    outb(COM1 + 3, 0x03);       /* 8 bits, no parity */
}

static void print_char(char c) {
    while (!(inb(COM1 + 5) & 0x20))
        ;
    outb(COM1, c);
}

static void print_number(uint64_t value, unsigned base) {
    char digits[20];
    int count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    while (count)
        print_char(digits[--count]);
}

void print(const char *format, ...) {
    va_list args;
    va_start(args, format);
    for (const char *c = format; *c; c++) {
        if (*c != '%') {
            print_char(*c);
            continue;
        }
        switch (*++c) {
        case 's':
            for (const char *s = va_arg(args, const char *); *s; s++)
                print_char(*s);
            break;
        case 'u':
            print_number(va_arg(args, unsigned), 10);
            break;
        case 'l':
            print_number(va_arg(args, uint64_t), *++c == 'x' ? 16 : 10);
            break;
        }
    }
    va_end(args);
}

/* Start and end */

void machine_start(unsigned hz) {
    start_console();
    start_interrupts(hz);
}

_Noreturn void halt(void) {
    for (;;)
        __asm__ volatile("cli; hlt");
}

_Noreturn void power_off(void) {
    __asm__ volatile("outw %0, %1" ::"a"((uint16_t)0x2000), "Nd"((uint16_t)PM1_CONTROL)); /* sleep enable, S5 */
    halt();
}

/* The compiler may call these two by itself. */

void *memcpy(void *to, const void *from, size_t size) {
    void *start = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size)::"memory");
    return start;
}

void *memset(void *to, int byte, size_t size) {
    void *start = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
    return start;
}
