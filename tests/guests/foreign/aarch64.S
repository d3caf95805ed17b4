/* For QEMU's virt machine: counts in memory and in registers, calls a function, prints a dot now and then, powers off. */
    .equ UART, 0x09000000
    .equ MEMORY, 0x40000000
    .equ ROUNDS, 20000
    .equ SYSTEM_OFF, 0x84000008

    .globl _start
_start:
    .rept 12 /* instructions that are executed once */
    nop
    .endr
    ldr x20, =ROUNDS
    ldr x21, =UART
    ldr x22, =MEMORY
    mov x19, #0
    mov x23, #1
round:
    add x19, x19, #1
    bl mix
    str x19, [x22]
    str x23, [x22, #8]
    tst x19, #0x3fff
    b.ne quiet
    mov w0, #'.'
    str w0, [x21]
quiet:
    cmp x19, x20
    b.ne round
    ldr w0, =SYSTEM_OFF
    hvc #0
forever:
    b forever

mix:
    eor x23, x23, x23, lsl #13
    eor x23, x23, x23, lsr #7
    eor x23, x23, x23, lsl #17
    ret
