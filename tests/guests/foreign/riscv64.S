/* For QEMU's virt machine: counts in memory and in registers, calls a function, takes timer interrupts, makes system
 * calls, waits for interrupts in a loop, prints a dot now and then, powers off. */
    .equ UART, 0x10000000
    .equ FINISHER, 0x100000
    .equ ROUNDS, 100000
    .equ MEMORY, 0x80100000
    .equ MTIME, 0x200bff8
    .equ MTIMECMP, 0x2004000
    .equ PERIOD, 6400 /* of the timer's ticks of 100 ns */

    .equ COUNTER, 0 /* in MEMORY */
    .equ VALUE, 8
    .equ TICKS, 16
    .equ CALLS, 24

    .globl _start
_start:
    .rept 12 /* instructions that are executed once */
    nop
    .endr
    li s4, ROUNDS
    li s5, UART
    li s6, MEMORY
    li s8, MTIME
    li s9, MTIMECMP
    li s10, PERIOD
    li s3, 0
    li s7, 1
    la t0, trap
    csrw mtvec, t0
    ld t0, 0(s8)
    add t0, t0, s10
    sd t0, 0(s9)
    li t0, 1 << 7 /* the timer's */
    csrw mie, t0
    csrsi mstatus, 1 << 3 /* all */
round:
    addi s3, s3, 1
    jal mix
    sd s3, COUNTER(s6)
    sd s7, VALUE(s6)
    andi t0, s3, 0xff
    bnez t0, no_call
    ecall
no_call:
    li t0, 0x1fff
    and t0, t0, s3
    bnez t0, no_wait
    ld t0, TICKS(s6)
wait: /* not by wfi, over which QEMU cannot step (docs/reference/machines.md) */
    ld t1, TICKS(s6)
    beq t0, t1, wait
no_wait:
    li t0, 0x3fff
    and t0, t0, s3
    bnez t0, quiet
    li t0, '.'
    sb t0, 0(s5)
quiet:
    bne s3, s4, round
    li t0, 0x5555
    li t1, FINISHER
    sw t0, 0(t1)
forever:
    j forever

mix:
    slli t0, s7, 13
    xor s7, s7, t0
    srli t0, s7, 7
    xor s7, s7, t0
    slli t0, s7, 17
    xor s7, s7, t0
    ret

    .balign 4 /* t5 and t6 are the handler's */
trap:
    csrr t5, mcause
    bltz t5, tick
    ld t5, CALLS(s6)
    addi t5, t5, 1
    sd t5, CALLS(s6)
    csrr t5, mepc
    addi t5, t5, 4
    csrw mepc, t5
    mret
tick:
    ld t5, TICKS(s6)
    addi t5, t5, 1
    sd t5, TICKS(s6)
    ld t5, 0(s8)
    add t5, t5, s10
    sd t5, 0(s9)
    mret
