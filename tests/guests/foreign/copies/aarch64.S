/* As copies.c: a value is computed, and copied through memory, registers, a block of memory, the stack. */
    .equ MEMORY, 0x40000000
    .globl packet, copied, sink, limit, letters
    .equ packet, MEMORY + 0x40
    .equ copied, MEMORY + 0x60
    .equ sink, MEMORY + 0x80
    .equ limit, MEMORY + 0x88
    .equ letters, MEMORY + 0x90

    .globl _start, make
_start:
    ldr x20, =MEMORY
    add sp, x20, #0x1000
    mov x0, #40
    str x0, [x20, #0x88] /* limit */
    mov x19, #0
round:
    add x19, x19, #1
    bl make
    str x0, [x20, #0x48] /* the second word of packet */
    add x1, x20, #0x60
    add x2, x20, #0x40
    ldp x3, x4, [x2], #16 /* a block, by pairs */
    stp x3, x4, [x1], #16
    ldr w5, [x20, #0x68] /* a part, which is not used */
    ldr x6, [x20, #0x68]
    mov x7, x6
    bl over_the_stack
    str x8, [x20, #0x80] /* sink */
    mov x9, #0
letter:
    add x10, x20, #0x80
    ldrb w11, [x10, x9]
    add x10, x20, #0x90
    strb w11, [x10, x9]
    add x9, x9, #1
    cmp x9, #8
    b.lt letter
    cmp x19, #50
    b.lt round
    ldr w0, =0x84000008 /* off */
    hvc #0
forever:
    b forever

make:
    ldr x1, =0x5851f42d4c957f2d
    mul x0, x19, x1
    add x0, x0, #1
    ret

over_the_stack:
    stp x7, x30, [sp, #-16]!
    mov x7, #0
    ldr x8, [sp]
    ldp xzr, x30, [sp], #16
    ret
