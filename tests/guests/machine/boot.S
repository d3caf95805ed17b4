# From QEMU's multiboot loader (32-bit protected mode, paging off) to main() in long mode.
#
# The header gives the load addresses itself (flag 16). With them QEMU reads the file as plain bytes, so that one
# ELF64 file can be booted with -kernel and read by GDB; without them QEMU takes 32-bit ELF files only.

        .file   "machine/boot.S"               # else the name of gcc's temporary file gets in

        .set    MAGIC, 0x1badb002
        .set    HAS_ADDRESSES, 1 << 16

        .section .multiboot, "a"
multiboot_header:
        .long   MAGIC, HAS_ADDRESSES, -(MAGIC + HAS_ADDRESSES)
        .long   multiboot_header, image_start, image_end, bss_end, _start

        .set    CODE, 8                         # selectors in gdt
        .set    DATA, 16

        .text
        .code32
        .globl  _start
        .type   _start, @function
_start:
        cli
        mov     $stack_top, %esp
        mov     $pml4, %eax
        mov     %eax, %cr3
        mov     %cr4, %eax
        or      $1 << 5, %eax                   # CR4.PAE
        mov     %eax, %cr4
        mov     $0xc0000080, %ecx               # EFER
        rdmsr
        or      $1 << 8, %eax                   # EFER.LME
        wrmsr
        mov     %cr0, %eax
        or      $1 << 31, %eax                  # CR0.PG: from here on, compatibility mode
        mov     %eax, %cr0
        lgdt    gdt_pointer
        ljmp    $CODE, $long_mode
        .size   _start, . - _start

        .code64
        .type   long_mode, @function
long_mode:
        mov     $DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        xor     %ebp, %ebp
        call    main
        call    halt
        .size   long_mode, . - long_mode

        .section .rodata
        .balign 8
gdt:
        .quad   0
        .quad   0x00209a0000000000              # 64-bit code, ring 0
        .quad   0x0000920000000000              # data
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt

# The first GiB, mapped to itself in 2 MiB pages: 3 = present, writable; 0x80 = large page.
        .data
        .balign 4096
pml4:   .quad   page_directories + 3
        .fill   511, 8, 0
page_directories:
        .quad   pages + 3
        .fill   511, 8, 0
pages:
        .set    frame, 0
        .rept   512
        .quad   frame + 0x83
        .set    frame, frame + 0x200000
        .endr

        .bss
        .balign 16
        .skip   16384
stack_top:
