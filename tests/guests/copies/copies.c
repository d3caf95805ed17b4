/* A value on a long way: it is computed, and then copied through registers, memory, the stack and a block of memory.
 *
 * `origin sink` goes back over all of it to the multiplication in make(). `origin letters` shows a copy made byte by
 * byte, `origin limit` a constant, `origin received` a port's input. Built with another LIMIT it goes another way in
 * one round.
 */
#include "machine.h"

#ifndef LIMIT
#define LIMIT 40
#endif

enum { ROUNDS = 50 };

struct packet {
    uint64_t head, body, value, tail;
};

uint64_t first, sink, limit, received, beyond;
struct packet packet, copied;
char letters[8];
volatile uint64_t ticks;

void on_timer(struct frame *frame) {
    (void)frame;
    ticks++;
    timer_done();
}

__attribute__((noinline)) static uint64_t make(uint64_t seed) { return seed * 6364136223846793005ul + 1; }

__attribute__((noinline)) static uint64_t over_the_stack(uint64_t value) {
    uint64_t result;
    __asm__ volatile("pushq %1\n\tpopq %0" : "=r"(result) : "r"(value) : "memory");
    return result;
}

__attribute__((noinline)) static void copy_block(void *to, const void *from, uint64_t size) {
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

__attribute__((noinline)) static void copy_letters(const uint64_t *from) {
    const char *bytes = (const char *)from;
    for (int i = 0; i < 8; i++)
        letters[i] = bytes[i];
}

__attribute__((noinline)) static uint8_t line_status(void) {
    uint8_t status;
    __asm__ volatile("inb %w1, %0" : "=a"(status) : "Nd"((uint16_t)0x3fd));
    return status;
}

__attribute__((noinline)) static void send(uint64_t seed) {
    first = make(seed);
    packet.value = first;
    copy_block(&copied, &packet, sizeof copied);
    sink = over_the_stack(copied.value);
    copy_letters(&sink);
}

int main(void) {
    machine_start(100);
    print("copies: up\n");
    limit = LIMIT;
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        send(round);
        if (round > limit)
            beyond++;
    }
    received = line_status();
    print("copies: %lx\n", sink);
    power_off();
}
