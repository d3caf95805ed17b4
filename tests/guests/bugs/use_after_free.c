/* A planted bug: a use after free.
 *
 * Connections and orders come from one allocator of small blocks. count_bytes() remembers the connection it found last;
 * disconnect() frees a connection, but does not make count_bytes() forget it. The block becomes an order, and a late
 * packet for the old connection adds its length to what is now the order's amount. That is found when the order is
 * carried out. */
#include "machine.h"

#include <stddef.h>

enum { BLOCKS = 16, CONNECTIONS = 4, LATE_ROUND = 700, DELIVERY_ROUND = 2000 };

union block {
    union block *next_free;
    char bytes[64];
};

struct connection {
    uint64_t number;
    uint64_t bytes;
};

struct order {
    uint64_t customer;
    uint64_t amount;
    uint64_t check; /* customer ^ amount */
};

union block blocks[BLOCKS];
union block *free_list;
struct connection *connections[CONNECTIONS];
struct connection *found_last;
struct order *order;
uint64_t rounds;

void on_timer(struct frame *frame) {
    (void)frame;
    timer_done();
}

__attribute__((noinline)) static void block_free(void *memory) {
    union block *block = memory;
    block->next_free = free_list;
    free_list = block;
}

__attribute__((noinline)) static void *block_alloc(void) {
    union block *block = free_list;
    free_list = block->next_free;
    return block;
}

__attribute__((noinline)) static void connect(unsigned number) {
    connections[number] = block_alloc();
    *connections[number] = (struct connection){.number = number};
}

__attribute__((noinline)) static void disconnect(unsigned number) {
    block_free(connections[number]); /* the bug: found_last may still point there */
    connections[number] = NULL;
}

__attribute__((noinline)) static void count_bytes(uint64_t number, uint64_t length) {
    if (!found_last || found_last->number != number)
        found_last = connections[number];
    if (found_last)
        found_last->bytes += length;
}

__attribute__((noinline)) static void take_order(uint64_t customer, uint64_t amount) {
    order = block_alloc();
    *order = (struct order){.customer = customer, .amount = amount, .check = customer ^ amount};
}

__attribute__((noinline)) static void carry_out(void) {
    if (order->check != (order->customer ^ order->amount)) {
        print("PANIC: an order of customer %lu was changed: %lu pieces\n", order->customer, order->amount);
        halt();
    }
    block_free(order);
}

int main(void) {
    machine_start(1000);
    print("use_after_free: up\n");
    for (unsigned number = 0; number < BLOCKS; number++)
        block_free(&blocks[number]);
    for (unsigned number = 0; number < CONNECTIONS; number++)
        connect(number);
    for (;; rounds++) {
        if (rounds < LATE_ROUND)
            count_bytes(rounds % CONNECTIONS, 40 + rounds % 7);
        if (rounds == LATE_ROUND) {
            disconnect(3);
            take_order(3, 12);
            count_bytes(3, 1460); /* a packet that was on its way */
        }
        if (rounds == DELIVERY_ROUND)
            carry_out();
        if (rounds > LATE_ROUND)
            count_bytes(rounds % 3, 40);
    }
}
