/* As copies.c: a value is computed, and copied through memory, registers, a block of memory, the stack. */
    .syntax unified
    .equ MEMORY, 0x40000000
    .globl packet, copied, sink, limit, letters
    .equ packet, MEMORY + 0x40
    .equ copied, MEMORY + 0x60
    .equ sink, MEMORY + 0x80
    .equ limit, MEMORY + 0x88
    .equ letters, MEMORY + 0x90

    .globl _start, make
_start:
    ldr r10, =MEMORY
    add sp, r10, #0x1000
    mov r0, #40
    str r0, [r10, #0x88] /* limit */
    mov r9, #0
    blx thumb
    ldr r0, =0x84000008 /* off */
    .inst 0xe1400070 /* hvc #0 */
forever:
    b forever
    .ltorg

    .thumb
    .thumb_func
thumb:
    mov r11, lr
round:
    add r9, r9, #1
    bl make
    str r0, [r10, #0x48] /* the third word of packet */
    add r1, r10, #0x60
    add r2, r10, #0x40
    ldmia r2!, {r3-r6} /* a block */
    stmia r1!, {r3-r6}
    ldrb r5, [r10, #0x68] /* a part, which is not used */
    ldr r6, [r10, #0x68]
    mov r7, r6
    bl over_the_stack
    cmp r9, r9
    ite eq
    moveq r1, r8 /* executed */
    movne r1, r2 /* not executed */
    str r1, [r10, #0x80] /* sink */
    mov r3, #0
letter:
    add r4, r10, #0x80
    ldrb r5, [r4, r3]
    add r4, r10, #0x90
    strb r5, [r4, r3]
    add r3, r3, #1
    cmp r3, #4
    blt letter
    cmp r9, #50
    blt round
    bx r11

    .thumb_func
make:
    ldr r1, =0x4c957f2d
    mul r0, r9, r1
    add r0, r0, #1
    bx lr

    .thumb_func
over_the_stack:
    push {r7, lr}
    mov r7, #0
    ldr r8, [sp]
    pop {r6, pc}
    .ltorg
