/* A boot sector that goes through all modes of x86 and back, again and again: real mode, 32-bit protected mode, long
 * mode, 32-bit code in long mode, 32-bit without paging, 16-bit protected mode, real mode. In each it calls something. */
    .globl _start, real, outer, inner, after_call, protected, long_mode, compatible, small
    .code16
_start:
    ljmp $0, $real
real:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7000, %sp
    movw $0x1234, %bx
    call outer
after_call:
    incw %cx
    movw $3, %dx
again:
    decw %dx
    jnz again
    lgdt gdt_pointer
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmp $0x08, $protected

outer:
    pushw %bx
    call inner
    popw %bx
    ret
inner:
    movw $0x5678, %bx
    ret

    .code32
protected:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %ss
    movl $0x7000, %esp
    call wide
    movl $0x2003, 0x1000 /* page tables for the first 2 MiB */
    movl $0x3003, 0x2000
    movl $0x83, 0x3000
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl $0x1000, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0
    nop
    ljmp $0x18, $long_mode
wide:
    incl %edi
    ret

    .code64
long_mode:
    incq %r8
    pushq %r8
    popq %r9
    pushq $0x08
    pushq $compatible
    lretq

    .code32
compatible:
    incl %esi
    movl %cr0, %eax
    andl $0x7fffffff, %eax
    movl %eax, %cr0
    ljmp $0x20, $small

    .code16
small:
    movl %cr0, %eax
    andb $0xfe, %al
    movl %eax, %cr0
    ljmp $0, $real

    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff /* 0x08: code, 32 bits */
    .quad 0x00cf93000000ffff /* 0x10: data */
    .quad 0x00af9b000000ffff /* 0x18: code, 64 bits */
    .quad 0x000f9b000000ffff /* 0x20: code, 16 bits */
gdt_pointer:
    .word . - gdt - 1
    .long gdt

    .org 510
    .word 0xaa55
