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
_NOTE = 4
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
            await asyncio.to_thread(_add_note, draft, b"VMCOREINFO", text)
        draft.chmod(0o600)
        await asyncio.to_thread(shutil.move, draft, target)
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


def _add_note(path: Path, name: bytes, content: bytes) -> None:
    """Put a note of kind 0 behind those of the ELF core at ``path``: all of them stand at its end then."""
    with path.open("r+b") as file:
        header = _HEADER.unpack(file.read(_HEADER.size))
        if not header[0].startswith(_ELF64):
            raise LinkError("QEMU has written a dump that is no ELF file of 64 bits; it is not used.")
        place, size, count = header[5], header[9], header[10]
        for number in range(count):
            at = place + number * size
            file.seek(at)
            fields = _PROGRAM.unpack(file.read(_PROGRAM.size))
            if fields[0] == _NOTE:
                _append(file, at, fields, _note(name, content))
                return
    raise LinkError("QEMU has written a dump without notes; it is not used.")


def _append(file: BinaryIO, at: int, fields: tuple[int, ...], note: bytes) -> None:
    kind, flags, offset, virtual, physical, size, _, align = fields
    file.seek(offset)
    notes = file.read(size) + note
    end = file.seek(0, 2)
    file.write(bytes(-end % 4))
    start = file.tell()
    file.write(notes)
    file.seek(at)
    file.write(_PROGRAM.pack(kind, flags, start, virtual, physical, len(notes), len(notes), align))


def _note(name: bytes, content: bytes) -> bytes:
    label = name + b"\0"
    return (
        struct.pack("<III", len(label), len(content), 0)
        + label + bytes(-len(label) % 4) + content + bytes(-len(content) % 4)
    )  # fmt: skip
