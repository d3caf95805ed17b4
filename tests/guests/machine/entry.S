# Entries for interrupts and exceptions: save what C may change, call the handler in C, return.
#
# The handler gets the frame that the CPU pushed (struct frame in machine.h). The CPU aligned the stack to 16 before
# it pushed 40 bytes; 9 registers more, and the stack is aligned again for the call. The call frame notes let GDB
# walk from a handler into the interrupted code.

        .file   "machine/entry.S"                    # else the name of gcc's temporary file gets in

        .cfi_sections .debug_frame

        .macro  save register
        push    %\register
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset \register, 0
        .endm

        .macro  restore register
        pop     %\register
        .cfi_adjust_cfa_offset -8
        .cfi_restore \register
        .endm

        .macro  entry name, handler
        .globl  \name
        .type   \name, @function
\name:
        .cfi_startproc simple
        .cfi_signal_frame
        .cfi_def_cfa rsp, 40                    # rip, cs, rflags, rsp, ss
        .cfi_rel_offset rip, 0
        .cfi_rel_offset rsp, 24
        .irp    register, rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11
        save    \register
        .endr
        lea     72(%rsp), %rdi
        cld
        call    \handler
        .irp    register, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax
        restore \register
        .endr
        iretq
        .cfi_endproc
        .size   \name, . - \name
        .endm

        .text
        entry   timer_entry, on_timer
        entry   invalid_opcode_entry, on_invalid_opcode
        entry   system_call_entry, on_system_call
        entry   fault_entry, on_fault
