"""The ``qemu`` command: QEMU's own monitor at the cursor, as far as it only looks."""

from __future__ import annotations

from rrdbg.commands.arguments import read_address
from rrdbg.commands.registry import Category, Registry
from rrdbg.commands.session import Session
from rrdbg.engine.machines.ram import ram_of
from rrdbg.errors import UsageError
from rrdbg.model.machine.inquiry import SUBJECTS, read_inquiry
from rrdbg.model.results import Message, Result

QEMU = Registry()


@QEMU.command(
    "qemu", Category.DATA, "Ask the QEMU at the cursor by a command of its monitor that only looks.",
    arguments="info SUBJECT | gva2gpa ADDRESS | xp /FMT ADDRESS",
    details="Page tables (info mem, info tlb, gva2gpa), the memory map (info mtree), devices (info qtree, info pci), "
    "interrupt controllers (info pic, info lapic), physical RAM (xp). In a GDB 'monitor info mem' is the same. "
    "Commands that would change the guest are refused.",
    words=("gva2gpa", "xp", *(f"info {subject}" for subject in SUBJECTS)),
    examples=("qemu info mem", "qemu info mtree -f", "qemu gva2gpa $rip", "qemu xp /4xg 0x1000"),
)  # fmt: skip
async def _qemu(session: Session, text: str) -> Result:
    inquiry = read_inquiry(text)
    replay = session.replay
    if replay.held:
        raise UsageError("QEMU's monitor is that of the recording's guest, and a what-if is going on: what-if off.")
    machine = await replay.machine()
    line = inquiry.line
    if inquiry.address:
        address = await read_address(session, inquiry.address)
        if inquiry.physical and not any(
            known.start <= address and address + inquiry.physical <= known.start + known.length
            for known in await ram_of(machine.qmp)
        ):
            raise UsageError(
                f"There is no RAM at the physical address {address:#x}, or it ends before. A device there would be "
                "changed by being read; 'qemu info mtree -f' lists what lies where."
            )
        line = line.format(address)
    return Message((await machine.monitor(line)).replace("\r", "").rstrip("\n"))
