/* A planted bug: a wild write.
 *
 * A meter notes when each value was last seen, in a table that begins at the lowest value the sensor can give. Once the
 * sensor fails and reads 0. The index is then negative, and the note goes far in front of the table: into the code
 * pointer of a command that nobody uses until much later. */
#include "machine.h"

enum { LOWEST = 500, VALUES = 64, FAILING_ROUND = 3000, CALLING_ROUND = 20000 };

typedef void command(void);

/* One struct, so that it does not depend on the linker what the wild write hits. */
struct meter {
    command *commands[4];
    uint64_t results[496];
    uint64_t seen[VALUES]; /* by value - LOWEST: sensor's number and round */
};

struct meter meter;
uint64_t rounds;

void on_timer(struct frame *frame) {
    (void)frame;
    timer_done();
}

__attribute__((noinline)) static int read_sensor(void) {
    return rounds == FAILING_ROUND ? 0 : LOWEST + (int)(rounds % VALUES);
}

__attribute__((noinline)) static void note(int value) {
    meter.seen[value - LOWEST] = 0x700000000ul + rounds; /* the bug: a value may be below LOWEST */
}

__attribute__((noinline)) static void report(void) { print("round %lu\n", rounds); }

__attribute__((noinline)) static void run_command(unsigned number) {
    if ((uint64_t)meter.commands[number] != (uint64_t)report) {
        print("PANIC: command %u has its code at %lx\n", number, (uint64_t)meter.commands[number]);
        halt();
    }
    meter.commands[number]();
}

int main(void) {
    machine_start(1000);
    print("wild_write: up\n");
    for (unsigned number = 0; number < 4; number++)
        meter.commands[number] = report;
    for (;; rounds++) {
        note(read_sensor());
        meter.results[rounds % 496] += rounds;
        if (rounds % CALLING_ROUND == 0)
            run_command(rounds / CALLING_ROUND % 4);
    }
}
