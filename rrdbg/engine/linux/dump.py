"""A guest's memory as an ELF core that crash and drgn open: QEMU writes it, and the kernel's own notes are added.

Those tools need the kernel's VMCOREINFO, which QEMU only has where the recorded machine has a device of that name.
The kernel keeps the text in its memory for kexec anyway, and from there it is added as one more note.
"""

from __future__ import annotations

import asyncio
import shutil
import struct
from pathlib import Path
from typing import BinaryIO

from rrdbg.engine.linux.memory import KernelMemory
from rrdbg.errors import HostError, LinkError, UsageError
from rrdbg.links.machine import Machine
from rrdbg.model.linux.kernel import Kernel

_DATA, _SIZE = "vmcoreinfo_data", "vmcoreinfo_size"
_MOST_TEXT = 1 << 16
_BEGINS = b"OSRELEASE="
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_NOTE = 4
_PAGE, _AT_ONCE = 4096, 16 << 20
_ELF64 = b"\x7fELF\x02\x01"


async def dump_core(machine: Machine, kernel: Kernel | None, target: Path) -> bool:
    """Write the memory where ``machine`` stands to ``target``, and tell whether a ``kernel``'s notes are in it.

    Memory that the guest has never touched becomes zeros. Nothing is left at ``target`` if it fails.

    :raises UsageError: there is a file already.
    :raises QmpError: QEMU cannot; the text is its own.
    :raises HostError: the disk is full.
    """
    if target.exists():
        raise UsageError(f"{target} exists already; name another file.")
    text = await vmcoreinfo(machine, kernel) if kernel else b""
    # QEMU may write to its machine's own directory alone.
    draft = machine.directory / "core"
    try:
        await machine.qmp.dump_memory(draft)
        if text:
            await asyncio.to_thread(_copy_with_note, draft, target, _note(b"VMCOREINFO", text))
        else:
            await asyncio.to_thread(shutil.move, draft, target)
        target.chmod(0o600)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise HostError.of(error, f"Cannot write {target}") from None
    finally:
        draft.unlink(missing_ok=True)
    return bool(text)


async def vmcoreinfo(machine: Machine, kernel: Kernel) -> bytes:
    """What the kernel where ``machine`` stands tells of itself to tools; empty before it has written that.

    :raises LinkError: QEMU's memory cannot be read here.
    """
    memory = await KernelMemory.of(machine)
    if memory is None or not {_DATA, _SIZE} <= kernel.addresses.keys():
        return b""
    with memory:
        place, size = memory.number(kernel.addresses[_DATA]), memory.number(kernel.addresses[_SIZE])
        text = memory.read(place, size) if place and size and size <= _MOST_TEXT else b""
    return text if text.startswith(_BEGINS) else b""


def _copy_with_note(source: Path, target: Path, note: bytes) -> None:
    """Copy the ELF core at ``source`` with one more ``note`` among its own.

    They stay in front of the memory: crash looks for them nowhere else. So that is put further back.
    """
    with source.open("rb") as file, target.open("xb") as made:
        header = _HEADER.unpack(file.read(_HEADER.size))
        if not header[0].startswith(_ELF64):
            raise LinkError("QEMU has written a dump that is no ELF file of 64 bits; it is not used.")
        segments, sections = _table(file, header[5], *header[9:11]), _table(file, header[6], *header[11:13])
        notes = next((place for place, fields in segments if fields[0] == _NOTE), None)
        if notes is None:
            raise LinkError("QEMU has written a dump without notes; it is not used.")
        fields = dict(segments)[notes]
        ends = fields[2] + fields[5]
        moved = len(note) + -len(note) % _PAGE
        file.seek(0)
        made.write(file.read(ends) + note + bytes(moved - len(note)))
        shutil.copyfileobj(file, made, _AT_ONCE)
        kind, flags, offset, virtual, physical, size, _, align = fields
        made.seek(notes)
        made.write(_PROGRAM.pack(kind, flags, offset, virtual, physical, size + len(note), size + len(note), align))
        for table, at, form in ((segments, 2, _PROGRAM), (sections, 4, _SECTION)):
            for place, values in table:
                if values[at] >= ends:
                    made.seek(place)
                    made.write(form.pack(*values[:at], values[at] + moved, *values[at + 1 :]))


def _table(file: BinaryIO, place: int, size: int, count: int) -> list[tuple[int, tuple[int, ...]]]:
    """The headers of segments or of sections, by where they lie."""
    form = _PROGRAM if size == _PROGRAM.size else _SECTION
    found = []
    for number in range(count):
        file.seek(place + number * size)
        found.append((place + number * size, form.unpack(file.read(form.size))))
    return found


def _note(name: bytes, content: bytes) -> bytes:
    label = name + b"\0"
    return (
        struct.pack("<III", len(label), len(content), 0)
        + label + bytes(-len(label) % 4) + content + bytes(-len(content) % 4)
    )  # fmt: skip
