/* A race that a plain boot hardly ever shows: a lost wake-up in a small driver.
 *
 * A device ends each request by one interrupt, and no other interrupt ever comes. The driver works on for a while, and
 * then sleeps until the request has ended, unless it has. If the interrupt comes between the look and the sleep, the
 * driver sleeps for ever, and nothing is printed: from outside, a guest that hangs. How long the work takes is told by
 * the time stamp counter, as a cache or a bus would make it. */
#include "machine.h"

#ifndef REQUESTS
#define REQUESTS 12
#endif

enum { PIT = 0x40, LATENCY = 300 /* of 1193182 a second: 251 us */ };

volatile uint64_t ended;
uint64_t sent, results;

static inline void outb(uint16_t port, uint8_t value) {
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static inline uint64_t now(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

void on_timer(struct frame *frame) {
    (void)frame;
    ended = sent;
    timer_done();
}

__attribute__((noinline)) static void work(uint64_t amount) {
    for (uint64_t i = 0; i < amount; i++) {
        results = results * 6364136223846793005ul + i;
        if (results >> 63) /* no round takes as many instructions as another, else ticks come at one place of it */
            results ^= amount;
    }
}

__attribute__((noinline)) static void send(void) {
    sent++;
    outb(PIT + 3, 0x30); /* channel 0, low then high byte, interrupt on terminal count: once */
    outb(PIT, LATENCY & 0xff);
    outb(PIT, LATENCY >> 8);
}

__attribute__((noinline)) static void wait_for_device(void) {
    while (ended != sent)
        idle(); /* the bug: the interrupt may have come since `ended` was looked at */
}

int main(void) {
    machine_start(1000);
    print("lost_wakeup: up\n");
    for (int request = 0; request < REQUESTS; request++) {
        send();
        work(now() * 2654435761ul >> 16 & 0xfff);
        wait_for_device();
    }
    print("lost_wakeup: done\n");
    power_off();
}
