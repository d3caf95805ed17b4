/* A program that OpenSBI starts: it counts, reads the time, prints, and has the machine turned off. */
    .globl _start
_start:
    li s0, 200
rounds:
    li s1, 5000
count:
    addi s2, s2, 1
    addi s1, s1, -1
    bnez s1, count
    rdtime s3
    li a0, '.'
    li a6, 0
    li a7, 1 /* console_putchar */
    ecall
    addi s0, s0, -1
    bnez s0, rounds
    li a0, 0 /* shutdown */
    li a1, 0
    li a6, 0
    li a7, 0x53525354 /* system_reset */
    ecall
end:
    j end
