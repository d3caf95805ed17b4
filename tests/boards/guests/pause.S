.globl _start
_start:
1: addi a0,a0,1
 .4byte 0x0100000f /* pause */
 addi a1,a1,1
 .4byte 0x0100000f
 addi a2,a2,1
 li a3,200
2: addi a3,a3,-1
 bnez a3,2b
 j 1b
