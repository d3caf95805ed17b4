/* Asks over an NE2000 card (ISA, port 0x300) who has 10.0.2.2, three times, and prints who answers.
 *
 * What tests may count on: `replies` is 3 at the end, and each reply changes it from within take_reply(). */
#include "machine.h"

#include <stddef.h>

enum { CARD = 0x300, DATA = CARD + 0x10, SEND_PAGE = 0x40, FIRST_PAGE = 0x46, LAST_PAGE = 0x80, ROUNDS = 3 };

/* The DP8390's registers; those from START_PAGE on are of page 0, CURRENT is of page 1. */
enum {
    COMMAND = CARD,
    START_PAGE = CARD + 1,
    STOP_PAGE,
    BOUNDARY,
    SEND_FROM,
    SEND_SIZE_LOW,
    SEND_SIZE_HIGH,
    STATUS,
    ADDRESS_LOW,
    ADDRESS_HIGH,
    SIZE_LOW,
    SIZE_HIGH,
    RECEIVE_MODE,
    SEND_MODE,
    DATA_MODE,
    MASK,
    CURRENT = CARD + 7,
};

static uint8_t request[60] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0x08, 0x06, /* to all, ARP */
    0x00, 0x01, 0x08, 0x00, 6,    4,    0x00, 0x01,                                     /* who has? */
    0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 10,   0,    2,    15,                           /* asks us */
    0,    0,    0,    0,    0,    0,    10,   0,    2,    2,
};

volatile uint64_t replies;
volatile uint64_t ticks;

static void out(unsigned port, uint8_t value) {
    __asm__ volatile("outb %0, %w1" : : "a"(value), "Nd"(port) : "memory");
}

static uint8_t in(unsigned port) {
    uint8_t value;
    __asm__ volatile("inb %w1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

void on_timer(struct frame *frame) {
    (void)frame;
    ticks++;
    timer_done();
}

/* The card's memory from `address` on is read or written next, through DATA. */
static void reach(uint16_t address, uint16_t size, uint8_t command) {
    out(SIZE_LOW, (uint8_t)size);
    out(SIZE_HIGH, (uint8_t)(size >> 8));
    out(ADDRESS_LOW, (uint8_t)address);
    out(ADDRESS_HIGH, (uint8_t)(address >> 8));
    out(COMMAND, command);
}

static void start_card(void) {
    out(COMMAND, 0x21);
    out(DATA_MODE, 0x48);
    out(RECEIVE_MODE, 0x14); /* everything */
    out(SEND_MODE, 0);
    out(START_PAGE, FIRST_PAGE);
    out(STOP_PAGE, LAST_PAGE);
    out(BOUNDARY, FIRST_PAGE);
    out(STATUS, 0xff);
    out(MASK, 0);
    out(COMMAND, 0x61);
    out(CURRENT, FIRST_PAGE + 1);
    out(COMMAND, 0x22);
}

static void ask(void) {
    reach(SEND_PAGE << 8, sizeof request, 0x12);
    for (size_t i = 0; i < sizeof request; i++)
        out(DATA, request[i]);
    out(SEND_FROM, SEND_PAGE);
    out(SEND_SIZE_LOW, sizeof request);
    out(SEND_SIZE_HIGH, 0);
    out(COMMAND, 0x26);
}

/* True if a packet was there and is an ARP reply. */
__attribute__((noinline)) static int take_reply(void) {
    out(COMMAND, 0x62);
    uint8_t next = in(CURRENT);
    out(COMMAND, 0x22);
    uint8_t page = in(BOUNDARY) + 1;
    if (page == LAST_PAGE)
        page = FIRST_PAGE;
    if (page == next)
        return 0;
    uint8_t packet[4 + 42];
    reach((uint16_t)(page << 8), sizeof packet, 0x0a);
    for (size_t i = 0; i < sizeof packet; i++)
        packet[i] = in(DATA);
    out(BOUNDARY, packet[1] == FIRST_PAGE ? LAST_PAGE - 1 : packet[1] - 1);
    const uint8_t *frame = packet + 4;
    if (frame[12] != 0x08 || frame[13] != 0x06 || frame[21] != 2)
        return 0;
    replies++;
    print("network: %u.%u.%u.%u answers\n", frame[28], frame[29], frame[30], frame[31]);
    return 1;
}

int main(void) {
    machine_start(100);
    start_card();
    for (int round = 0; round < ROUNDS; round++) {
        ask();
        while (!take_reply())
            idle();
    }
    print("network: done\n");
    power_off();
}
