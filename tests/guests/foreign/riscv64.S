/* For QEMU's virt machine: counts in memory and in registers, calls a function, prints a dot now and then, powers off. */
    .equ UART, 0x10000000
    .equ FINISHER, 0x100000
    .equ ROUNDS, 20000
    .equ MEMORY, 0x80100000

    .globl _start
_start:
    .rept 12 /* instructions that are executed once */
    nop
    .endr
    li s4, ROUNDS
    li s5, UART
    li s6, MEMORY
    li s3, 0
    li s7, 1
round:
    addi s3, s3, 1
    jal mix
    sd s3, 0(s6)
    sd s7, 8(s6)
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
