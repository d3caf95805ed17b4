/* As copies.c: a value is computed, and copied through memory, registers, a block of memory, the stack. */
    .equ MEMORY, 0x80100000
    .globl packet, copied, sink, limit, letters
    .equ packet, MEMORY + 0x40
    .equ copied, MEMORY + 0x60
    .equ sink, MEMORY + 0x80
    .equ limit, MEMORY + 0x88
    .equ letters, MEMORY + 0x90

    .globl _start, make
_start:
    li s4, MEMORY
    li t0, 0x1000
    add sp, s4, t0
    li a0, 40
    sd a0, 0x88(s4) /* limit */
    li s3, 0
round:
    addi s3, s3, 1
    jal make
    sd a0, 0x48(s4) /* the second word of packet */
    ld a3, 0x40(s4) /* a block */
    ld a4, 0x48(s4)
    sd a3, 0x60(s4)
    sd a4, 0x68(s4)
    lw a5, 0x68(s4) /* a part, which is not used */
    ld a6, 0x68(s4)
    mv a7, a6
    jal over_the_stack
    sd s8, 0x80(s4) /* sink */
    li t1, 0
letter:
    add t2, s4, t1
    lbu t3, 0x80(t2)
    sb t3, 0x90(t2)
    addi t1, t1, 1
    li t4, 8
    blt t1, t4, letter
    li t4, 50
    blt s3, t4, round
    li t0, 0x100000 /* off */
    li t1, 0x5555
    sw t1, 0(t0)
forever:
    j forever

make:
    li t0, 0x5851f42d4c957f2d
    mul a0, s3, t0
    addi a0, a0, 1
    ret

over_the_stack:
    addi sp, sp, -16
    sd a7, 0(sp)
    sd ra, 8(sp)
    li a7, 0
    ld s8, 0(sp)
    ld ra, 8(sp)
    addi sp, sp, 16
    ret
