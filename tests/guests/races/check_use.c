/* A race that a plain boot hardly ever shows: an interrupt between a check and a use.
 *
 * A request is looked at, and then taken. The interrupt takes requests back whose time is up. If it comes between the look
 * and the taking, what is taken is no request any more. Each round first works for as long as the time stamp counter
 * happens to say, as a cache or a bus would make it; the gap is three instructions wide, and a tick has 31,250. */
#include "machine.h"

#ifndef ROUNDS
#define ROUNDS 20
#endif

struct request {
    uint64_t number;
};

struct request request;
struct request *volatile pending;
uint64_t taken, timed_out, results, panicked;

__attribute__((noinline)) static void panic(void) {
    panicked = 1;
    print("PANIC: a request was taken that had timed out\n");
    halt();
}

void on_timer(struct frame *frame) {
    (void)frame;
    if (pending) {
        pending = 0;
        timed_out++;
    }
    timer_done();
}

static inline uint64_t now(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

__attribute__((noinline)) static void work(uint64_t amount) {
    for (uint64_t i = 0; i < amount; i++) {
        results = results * 6364136223846793005ul + i;
#ifndef GAP
        if (results >> 63) /* no round takes as many instructions as another, else ticks come at one place of it */
            results ^= amount;
#endif
    }
}

__attribute__((noinline)) static void take(void) {
    if (!pending)
        return;
#ifdef GAP
    work(GAP); /* some tests make the gap wide */
#endif
    struct request *mine = pending; /* the bug: it may have been taken back since */
    if (!mine)
        panic();
    pending = 0;
    taken = mine->number;
}

int main(void) {
    machine_start(1000);
    print("check_use: up\n");
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        idle();
        request.number = round;
        pending = &request;
        work(now() * 2654435761ul >> 16 & 0x1fff);
        take();
    }
    print("check_use: done\n");
    power_off();
}
