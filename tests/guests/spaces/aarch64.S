/* For QEMU's virt machine: two address spaces, which have memory of their own at SHARED. Each is written to by that
 * address, and by the one at which all memory lies in both. Another page comes to lie there now and then. */
    .equ UART, 0x09000000
    .equ SYSTEM_OFF, 0x84000008
    .equ KERNELS, 0x40010000 /* the root of the upper half, which is empty */
    .equ FIRST, 0x40020000   /* the tables of one space: a root, one for 2 MiB each, one for pages */
    .equ SECOND, 0x40030000
    .equ SHARED, 0x80000000
    .equ FRAMES, 0x40100000
    .equ ROUNDS, 48
    .equ BLOCK, 0x701        /* normal memory, accessed, shareable */
    .equ PAGE, 0x703
    .equ TABLE, 0x3

    .macro space tables, frame
    ldr x0, =\tables
    ldr x1, =BLOCK
    str x1, [x0]             /* the firmware and the devices, where they are */
    ldr x1, =0x40000000 + BLOCK
    str x1, [x0, #8]
    ldr x1, =\tables + 0x1000 + TABLE
    str x1, [x0, #16]
    ldr x0, =\tables + 0x1000
    ldr x1, =\tables + 0x2000 + TABLE
    str x1, [x0]
    ldr x0, =\tables + 0x2000
    ldr x1, =\frame + PAGE
    str x1, [x0]
    .endm

    .macro enter tables
    ldr x0, =\tables
    msr ttbr0_el1, x0
    isb
    tlbi vmalle1
    dsb sy
    isb
    .endm

    .globl _start
_start:
    space FIRST, FRAMES
    space SECOND, FRAMES + 0x1000
    mov x0, #0x44            /* normal memory that is not cached */
    msr mair_el1, x0
    ldr x0, =0x80190019      /* 39 bits in both halves, pages of 4 KiB */
    msr tcr_el1, x0
    ldr x0, =KERNELS
    msr ttbr1_el1, x0
    ldr x0, =FIRST
    msr ttbr0_el1, x0
    isb
    mrs x0, sctlr_el1
    orr x0, x0, #1
    msr sctlr_el1, x0
    isb
    ldr x20, =SHARED
    ldr x21, =FRAMES
    ldr x22, =FIRST + 0x2000
    ldr x23, =PAGE
    mov x19, #1
round:
    enter FIRST
    .globl first_write
first_write:
    str x19, [x20]
    .globl first_again
first_again:
    str x19, [x20]           /* changes nothing */
    enter SECOND
    add x2, x19, #0x1000
    .globl second_write
second_write:
    str x2, [x20]
    tst x19, #3
    b.ne no_other
    add x2, x19, #0x2000
    .globl by_other
by_other:
    str x2, [x21]            /* what the first space has at SHARED, unless it has the third frame there */
no_other:
    tst x19, #7
    b.ne no_move
    ldr x3, [x22]
    eor x3, x3, #0x2000
    str xzr, [x22]
    str x3, [x22]            /* the first frame or the third */
no_move:
    add x19, x19, #1
    cmp x19, #ROUNDS
    b.ne round
    ldr x21, =UART
    mov w0, #'.'
    str w0, [x21]
    ldr w0, =SYSTEM_OFF
    hvc #0
forever:
    b forever
