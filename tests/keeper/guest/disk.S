# A boot sector that writes disk sectors for ever: sector 1 + n % 64 of the first disk gets the number n
# 128 times, is read back into another buffer, and every eighth n is printed on the serial port.
.code16
.globl _start
_start:
    ljmp $0, $begin
begin:
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    cld
    movl $0, number
again:
    incl number
    movw $0x1000, %di
    movw $128, %cx
    movl number, %eax
    rep stosl
    movl number, %eax
    andl $63, %eax
    incl %eax
    movl %eax, lba
    movw $0x1000, buffer
    movb $0x43, %ah
    xorb %al, %al
    call disk
    movw $0x1400, buffer
    movb $0x42, %ah
    call disk
    movl 0x1400, %eax
    cmpl number, %eax
    jne broken
    testb $7, number
    jnz again
    movb $'.', %al
    call print
    jmp again
broken:
    movb $'!', %al
    call print
    cli
    hlt
disk:
    movb $0x80, %dl
    movw $packet, %si
    int $0x13
    jc broken
    ret
print:
    movw $0x3f8, %dx
    outb %al, %dx
    ret
.balign 4
number: .long 0
packet: .byte 16, 0
        .word 1
buffer: .word 0
        .word 0
lba:    .long 0, 0
.org 510
.word 0xaa55
