/* A deterministic program with a bit of everything that a reverse debugger has to walk through: nested calls, writes
 * to known variables, timer interrupts, exceptions, system calls, string instructions, console output and idling.
 *
 * What tests may count on: at the end `counter` is ROUNDS, and before each round counter is the number of the round;
 * `ring` holds the last RING values of mix(); `invalid_opcodes` and `system_calls` count what their names say. */
#include "machine.h"

#include <stddef.h>

enum { ROUNDS = 2400, RING = 16, BLOCK = 512 };

volatile uint64_t counter;
volatile uint64_t ring[RING];
volatile uint64_t ticks;
volatile uint64_t invalid_opcodes;
volatile uint64_t system_calls;

uint8_t source_block[BLOCK];
uint8_t target_block[BLOCK];

void on_timer(struct frame *frame) {
    (void)frame;
    ticks++;
    timer_done();
}

void on_invalid_opcode(struct frame *frame) {
    invalid_opcodes++;
    frame->rip += 2; /* step over the ud2 */
}

void on_system_call(struct frame *frame) {
    (void)frame;
    system_calls++;
}

__attribute__((noinline)) static uint64_t twist(uint64_t value) {
    value ^= value << 13;
    value ^= value >> 7;
    return value ^ value << 17;
}

__attribute__((noinline)) static uint64_t fold(uint64_t value) {
    for (int i = 0; i < 32; i++)
        value = twist(value) + i;
    return value;
}

__attribute__((noinline)) static uint64_t mix(uint64_t round) { return fold(round * 2 + 1) ^ fold(round + 7); }

__attribute__((noinline)) static void copy_block(void) {
    void *to = target_block;
    const void *from = source_block;
    size_t size = BLOCK;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size)::"memory");
}

__attribute__((noinline)) static void fill_block(uint8_t byte) {
    void *to = source_block;
    size_t size = BLOCK;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
}

__attribute__((noinline)) static void wait_for_tick(void) {
    uint64_t now = ticks;
    while (ticks == now)
        idle();
}

__attribute__((noinline)) static void do_round(void) {
    uint64_t value = mix(counter);
    ring[counter % RING] = value;
    counter++;
    if (counter % 8 == 0)
        __asm__ volatile("int $0x80" ::: "memory");
    if (counter % 32 == 0)
        __asm__ volatile("ud2" ::: "memory");
    if (counter % 64 == 0) {
        fill_block(value);
        copy_block();
    }
    if (counter % 250 == 0)
        wait_for_tick();
    if (counter % 200 == 0)
        print("tick %lu counter=%lu\n", ticks, counter);
}

int main(void) {
    machine_start(1000);
    print("workload: up\n");
    while (counter < ROUNDS)
        do_round();
    print("workload: done\n");
    power_off();
}
