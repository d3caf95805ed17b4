/* Waits for ticks as a kernel waits for a lock: in a loop with `pause`, over which QEMU's single step goes too far. */
#include "machine.h"

enum { TICKS = 20 };

volatile uint64_t ticks;
volatile uint64_t spins;

void on_timer(struct frame *frame) {
    (void)frame;
    ticks++;
    timer_done();
}

__attribute__((noinline)) static void spin(void) {
    spins++;
    __asm__ volatile("pause" ::: "memory");
}

int main(void) {
    machine_start(1000);
    print("spinning: up\n");
    while (ticks < TICKS)
        spin();
    print("spinning: done after %lu\n", ticks);
    power_off();
}
