/* A planted bug: an interrupt that nobody hears.
 *
 * A driver sends a request, does something else meanwhile, and then waits for the device's interrupt, unless that has
 * come. Between the look and the going to sleep there is a gap. An interrupt in that gap finds nobody asleep whom it
 * might wake, and the driver then sleeps for ever: from outside, a guest that hangs. The other work takes longer each
 * time, up to about two ticks, so that sooner or later the interrupt comes in the gap. */
#include "machine.h"

enum { PATIENCE = 50 };

volatile uint64_t sent, finished; /* requests */
volatile uint64_t asleep;
uint64_t slept, results;

/* The device ends a request at the next tick. */
void on_timer(struct frame *frame) {
    static uint64_t ticks_asleep;
    (void)frame;
    if (finished != sent) {
        finished = sent;
        asleep = 0;
    }
    ticks_asleep = asleep ? ticks_asleep + 1 : 0;
    if (ticks_asleep == PATIENCE) {
        print("PANIC: the driver sleeps, though request %lu is finished\n", finished);
        halt();
    }
    timer_done();
}

__attribute__((noinline)) static void work(uint64_t amount) {
    for (uint64_t i = 0; i < amount; i++)
        results = results * 6364136223846793005ul + i;
}

__attribute__((noinline)) static void wait_for_device(void) {
    if (finished == sent)
        return;
    work(40); /* keeps its accounts before it sleeps */
    slept++;
    asleep = 1; /* the bug: the interrupt may have come since finished was looked at */
    while (asleep)
        idle();
}

int main(void) {
    machine_start(10000);
    print("lost_interrupt: up\n");
    for (uint64_t amount = 20;; amount = amount % 1000 + 20) {
        sent++;
        work(amount);
        wait_for_device();
    }
}
