# A boot sector on a floppy disk that uses what the CPU waits for: it writes sector 2 + n % 8 of the floppy disk and
# byte n % 256 of a flash memory, reads both back, and prints a dot for every fourth n.
.set FLASH, 0xfffa0000 # 128 KiB below a firmware of 256 KiB
.set PROGRAM, 0x40
.set READ_ARRAY, 0xff
.code16
.globl _start
_start:
    ljmp $0, $begin
begin:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    cld
    lgdt gdt_pointer
    movl %cr0, %eax # fs keeps its 4 GiB in real mode
    orb $1, %al
    movl %eax, %cr0
    movw $8, %bx
    movw %bx, %fs
    andb $0xfe, %al
    movl %eax, %cr0
    sti
    movl $0, number
again:
    incl number
    movzbl number, %ebx
    movb $PROGRAM, %fs:FLASH(%ebx)
    movb number, %al
    movb %al, %fs:FLASH(%ebx)
    movb $READ_ARRAY, %fs:FLASH(%ebx)
    cmpb %al, %fs:FLASH(%ebx)
    jne broken
    movw $0x1000, %di
    movw $128, %cx
    movl number, %eax
    rep stosl
    movw $0x1000, %bx
    movb $3, %ah
    call floppy
    movw $0x1400, %bx
    movb $2, %ah
    call floppy
    movl 0x1400, %eax
    cmpl number, %eax
    jne broken
    testb $3, number
    jnz again
    movb $'.', %al
    call print
    jmp again
broken:
    movb $'!', %al
    call print
    cli
    hlt
floppy:
    movb $1, %al
    movb number, %cl
    andb $7, %cl
    addb $2, %cl
    movb $0, %ch
    movw $0, %dx
    int $0x13
    jc broken
    ret
print:
    movw $0x3f8, %dx
    outb %al, %dx
    ret
.balign 8
gdt:
    .quad 0
    .word 0xffff, 0
    .byte 0, 0x92, 0xcf, 0
gdt_pointer:
    .word 15
    .long gdt
number: .long 0
.org 510
.word 0xaa55
