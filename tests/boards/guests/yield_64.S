.globl _start
_start:
1: add x0,x0,#1
 yield
 add x1,x1,#1
 wfe
 add x2,x2,#1
 mov x3,#200
2: subs x3,x3,#1
 b.ne 2b
 b 1b
