/* A planted bug: a race between an interrupt and other code for a reference count.
 *
 * A buffer is freed when nobody refers to it any more. The interrupt takes a reference for each packet that it puts into
 * the buffer; main() drops it when the packet is read, and takes references of its own. put() and get() read the count,
 * check it and write it back. If the interrupt comes in between, its reference is not counted, and the buffer is freed
 * while its owner still has it. */
#include "machine.h"

enum { MOST = 1000 };

struct buffer {
    volatile uint64_t references;
    uint64_t packets; /* not yet read */
};

struct buffer buffer = {.references = 1}; /* its owner's */

__attribute__((noinline)) static void get(struct buffer *buffer) {
    uint64_t seen = buffer->references;
    if (seen >= MOST) {
        print("PANIC: too many references\n");
        halt();
    }
    buffer->references = seen + 1; /* the bug: the count may be another one by now */
}

__attribute__((noinline)) static void put(struct buffer *buffer) {
    uint64_t seen = buffer->references;
    if (seen == 1) {
        print("PANIC: the buffer is freed, but its owner has it\n");
        halt();
    }
    buffer->references = seen - 1; /* here, too */
}

void on_timer(struct frame *frame) {
    (void)frame;
    get(&buffer);
    buffer.packets++;
    timer_done();
}

int main(void) {
    machine_start(10000);
    print("refcount_race: up\n");
    for (;;) {
        get(&buffer);
        if (buffer.packets) {
            __asm__ volatile("decq %0" : "+m"(buffer.packets)); /* one instruction: nothing comes in between */
            put(&buffer);
        }
        put(&buffer);
    }
}
