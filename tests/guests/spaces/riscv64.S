# For QEMU's virt machine: two address spaces, which have memory of their own at SHARED. Each is written to by that
# address, and by the one at which all memory lies in both. Another page comes to lie there now and then.
    .equ UART, 0x10000000
    .equ POWER, 0x100000
    .equ POWER_OFF, 0x5555
    .equ FIRST, 0x80120000   # the tables of one space: a root, one for 2 MiB each, one for pages
    .equ SECOND, 0x80130000
    .equ SHARED, 0x40000000
    .equ FRAMES, 0x80200000
    .equ ROUNDS, 48
    .equ LEAF, 0xcf          # readable, writable, executable, accessed, dirty
    .equ SV39, 8

    .macro space tables, frame
    li t0, \tables
    li t1, LEAF
    sd t1, 0(t0)             # the devices, where they are
    li t1, (\tables + 0x1000) >> 2 | 1
    sd t1, 8(t0)
    li t1, 0x80000000 >> 2 | LEAF
    sd t1, 16(t0)
    li t2, \tables + 0x800
    sd t1, 0(t2)             # the upper half has something
    li t0, \tables + 0x1000
    li t1, (\tables + 0x2000) >> 2 | 1
    sd t1, 0(t0)
    li t0, \tables + 0x2000
    li t1, (\frame) >> 2 | LEAF
    sd t1, 0(t0)
    .endm

    .macro enter tables
    li t0, SV39 << 60 | (\tables) >> 12
    csrw satp, t0
    sfence.vma
    .endm

    .globl _start
_start:
    space FIRST, FRAMES
    space SECOND, FRAMES + 0x1000
    li t0, -1
    csrw pmpaddr0, t0
    li t0, 0x1f
    csrw pmpcfg0, t0
    li t0, 0x1800
    csrc mstatus, t0
    li t0, 0x0800            # to supervisor mode, where addresses are translated
    csrs mstatus, t0
    la t0, supervisor
    csrw mepc, t0
    mret
supervisor:
    li s4, SHARED
    li s5, FRAMES
    li s6, FIRST + 0x2000
    li s3, 1
    li s7, ROUNDS
round:
    enter FIRST
    .globl first_write
first_write:
    sd s3, 0(s4)
    .globl first_again
first_again:
    sd s3, 0(s4)             # changes nothing
    enter SECOND
    li t2, 0x1000
    add t2, t2, s3
    .globl second_write
second_write:
    sd t2, 0(s4)
    andi t3, s3, 3
    bnez t3, no_other
    li t2, 0x2000
    add t2, t2, s3
    .globl by_other
by_other:
    sd t2, 0(s5)             # what the first space has at SHARED, unless it has the third frame there
no_other:
    andi t3, s3, 7
    bnez t3, no_move
    ld t4, 0(s6)
    li t5, 0x2000 >> 2
    xor t4, t4, t5
    sd zero, 0(s6)
    sd t4, 0(s6)             # the first frame or the third
no_move:
    addi s3, s3, 1
    bne s3, s7, round
    li s5, UART
    li t0, '.'
    sb t0, 0(s5)
    li s5, POWER
    li t0, POWER_OFF
    sw t0, 0(s5)
forever:
    j forever
