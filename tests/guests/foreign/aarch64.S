/* For QEMU's virt machine: counts in memory and in registers, calls a function, takes timer interrupts, makes system
 * calls, waits for interrupts, prints a dot now and then, powers off. */
    .equ UART, 0x09000000
    .equ MEMORY, 0x40000000
    .equ ROUNDS, 100000
    .equ SYSTEM_OFF, 0x84000008
    .equ GIC_DISTRIBUTOR, 0x08000000
    .equ GIC_CPU, 0x08010000
    .equ TIMER_INTERRUPT, 1 << 30
    .equ PERIOD, 40000 /* of the timer's ticks of 16 ns */

    .equ COUNTER, 0 /* in MEMORY */
    .equ VALUE, 8
    .equ TICKS, 16
    .equ CALLS, 24

    .globl _start
_start:
    .rept 12 /* instructions that are executed once */
    nop
    .endr
    ldr x20, =ROUNDS
    ldr x21, =UART
    ldr x22, =MEMORY
    ldr x24, =GIC_CPU
    ldr x25, =PERIOD
    mov x19, #0
    mov x23, #1
    adr x0, vectors
    msr vbar_el1, x0
    ldr x1, =GIC_DISTRIBUTOR
    mov w0, #1
    str w0, [x1] /* on */
    str w0, [x24]
    ldr w0, =TIMER_INTERRUPT
    str w0, [x1, #0x100] /* enabled */
    mov w0, #0xff
    str w0, [x24, #4] /* of any priority */
    msr cntp_tval_el0, x25
    mov x0, #1
    msr cntp_ctl_el0, x0
    msr daifclr, #2
round:
    add x19, x19, #1
    bl mix
    str x19, [x22, #COUNTER]
    str x23, [x22, #VALUE]
    tst x19, #0xff
    b.ne no_call
    svc #0
no_call:
    tst x19, #0x1fff
    b.ne no_wait
    ldr x0, [x22, #TICKS]
wait:
    wfi
    ldr x1, [x22, #TICKS]
    cmp x0, x1
    b.eq wait
no_wait:
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

    .balign 2048 /* x9 and x10 are the handlers' */
vectors:
    .skip 0x200
    ldr x10, [x22, #CALLS]
    add x10, x10, #1
    str x10, [x22, #CALLS]
    eret
    .balign 128
    ldr w9, [x24, #0xc] /* acknowledge */
    ldr x10, [x22, #TICKS]
    add x10, x10, #1
    str x10, [x22, #TICKS]
    msr cntp_tval_el0, x25
    str w9, [x24, #0x10] /* end of interrupt */
    eret
