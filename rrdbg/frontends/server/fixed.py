"""Packets that are always answered alike, whoever asks and wherever the guest stands."""

from __future__ import annotations

from collections.abc import Mapping

FIXED: Mapping[bytes, bytes] = {
    b"qsThreadInfo": b"l",
    b"qAttached": b"1",
    b"qSymbol:": b"OK",
    b"QStartNoAckMode": b"OK",
    b"vMustReplyEmpty": b"",
    b"vCont?": b"vCont;c;C;s;S",
    b"vKill;": b"OK",
    b"D": b"OK",
    b"H": b"OK",
    # By these, extensions for kernels know a QEMU. A single step here is one instruction, whatever they set.
    b"qqemu.sstepbits": b"ENABLE=1,NOIRQ=2,NOTIMER=4",
    b"Qqemu.sstepbits": b"ENABLE=1,NOIRQ=2,NOTIMER=4",
    b"qqemu.sstep": b"0x7",
    b"Qqemu.sstep=": b"OK",
    # LLDB would take a watchpoint's stop for one before the access in an Arm or RISC-V guest, and step once more.
    b"qHostInfo": b"watchpoint_exceptions_received:after;",
}
"""The answers by the names of the packets; a name that begins with another one stands before that."""
