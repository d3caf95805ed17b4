/* A planted bug: a device that is told to copy too much.
 *
 * A network card copies frames into memory by itself, here within the timer interrupt, in bursts of 64 bytes. The
 * driver rounds a frame's length up to whole bursts. Its buffer is as long as the longest frame, which is not a whole
 * number of bursts: the longest frames spill over into what lies behind, the serial number of the board. */
#include "machine.h"

#include <stddef.h>

enum { LONGEST_FRAME = 248, BURST = 64, LONG_FRAME_ROUND = 40, CHECK_ROUND = 120, SERIAL_NUMBER = 4711 };

struct board {
    char frame[LONGEST_FRAME];
    uint64_t serial_number;
    uint64_t frames;
};

/* The registers of the card: where to copy a frame to, how much, and whether to begin; it clears `begin` at the end. */
struct card {
    void *to;
    uint64_t length;
    uint64_t begin;
};

struct board board = {.serial_number = SERIAL_NUMBER};
volatile struct card card;
char wire[512];

__attribute__((noinline)) static void card_copy(void) {
    void *to = card.to;
    const void *from = wire;
    uint64_t length = card.length;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length)::"memory");
    card.begin = 0;
}

void on_timer(struct frame *frame) {
    (void)frame;
    if (card.begin)
        card_copy();
    timer_done();
}

__attribute__((noinline)) static void receive(uint64_t length) {
    card.to = board.frame;
    card.length = (length + BURST - 1) / BURST * BURST; /* the bug: LONGEST_FRAME is not a multiple of BURST */
    card.begin = 1;
    while (card.begin)
        idle();
    board.frames++;
}

__attribute__((noinline)) static void check_board(void) {
    if (board.serial_number != SERIAL_NUMBER) {
        print("PANIC: the serial number of this board is %lx\n", board.serial_number);
        halt();
    }
}

int main(void) {
    machine_start(1000);
    print("dma_copy: up\n");
    for (size_t i = 0; i < sizeof wire; i++)
        wire[i] = 'a' + i % 26;
    for (;;) {
        receive(board.frames == LONG_FRAME_ROUND ? LONGEST_FRAME : 60 + board.frames);
        if (board.frames == CHECK_ROUND)
            check_board();
    }
}
