"""Which programs and libraries a task of a Linux guest has mapped where, read as its dynamic linker has noted it.

The kernel gives a program its auxiliary vector; by it the program's own headers are found, in them the dynamic section,
and there the linker's list of what it has loaded. Nothing of that is believed further than :data:`_MOST`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import PurePosixPath

from rrdbg.engine.linux.memory import KernelMemory
from rrdbg.engine.linux.tasks import Reads, TaskReader
from rrdbg.errors import UsageError
from rrdbg.model.linux.mapped import MappedProgram, ProgramFile
from rrdbg.model.linux.task import Task

_MOST = 4096
_LONGEST_PATH = 4096
_PAGE = 4096
_AUXV_BYTES = 1024
_AT_PHDR, _AT_PHNUM, _AT_BASE, _AT_ENTRY, _AT_EXECFN = 3, 5, 7, 9, 31
_PT_DYNAMIC, _PT_PHDR = 2, 6
_DT_DEBUG = 21
_PAIR = struct.Struct("<QQ")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_MASK = (1 << 64) - 1


def programs_of(memory: KernelMemory, reader: TaskReader, task: Task) -> tuple[list[MappedProgram], KernelMemory]:
    """What ``task`` has mapped, its own program first, and its memory.

    :raises UsageError: it is a thread of the kernel's, has ended or only begins, or the kernel does not tell.
    """
    offsets = reader.kernel.offsets
    if "mm_struct.saved_auxv" not in offsets:
        raise UsageError(f"The guest's kernel {reader.kernel.release} does not say where programs are mapped.")
    mm = memory.number(task.address + offsets["task_struct.mm"])
    user = own_memory(memory, reader, task.address)
    if not mm or user is None:
        raise UsageError(f"{task} is a thread of the kernel's, or has ended, and has no program.")
    auxiliary = dict(_pairs(memory.read(mm + offsets["mm_struct.saved_auxv"], _AUXV_BYTES)))
    if _AT_ENTRY not in auxiliary:
        raise UsageError(
            f"{task} has no program mapped yet: its execve is under way here; 'strace --task {task.pid}' lists where "
            "it goes on."
        )
    return list(_mapped(user, auxiliary)), user


def own_memory(memory: KernelMemory, reader: TaskReader, task: int) -> KernelMemory | None:
    """The memory of the process whose ``task_struct`` is at ``task``, closed with ``memory``; None if it has none."""
    offsets = reader.kernel.offsets
    mm = memory.number(task + offsets["task_struct.mm"])
    table = memory.number(mm + offsets["mm_struct.pgd"]) if mm else None
    root = memory.frame(table) if table else None
    return None if root is None else memory.of_space(root)


def _mapped(user: Reads, auxiliary: dict[int, int]) -> Iterator[MappedProgram]:
    length = _PROGRAM_HEADER.size * auxiliary.get(_AT_PHNUM, 0)
    raw = user.read(auxiliary.get(_AT_PHDR, 0), min(_MOST, length))
    headers = {
        kind: address for kind, _, _, address, *_ in _PROGRAM_HEADER.iter_unpack(_whole(raw, _PROGRAM_HEADER.size))
    }
    offset = auxiliary.get(_AT_PHDR, 0) - headers[_PT_PHDR] & _MASK if _PT_PHDR in headers else 0
    name = _text(user, auxiliary.get(_AT_EXECFN, 0))
    yield MappedProgram(name, offset, auxiliary.get(_AT_ENTRY, 0))
    if _PT_DYNAMIC not in headers:
        return
    dynamic = dict(_pairs(user.read(headers[_PT_DYNAMIC] + offset, _MOST)))
    known = user.number(dynamic[_DT_DEBUG] + 8) if dynamic.get(_DT_DEBUG) else None
    linked = _linked(user, known) if known else []
    if auxiliary.get(_AT_BASE) and not any(where == auxiliary[_AT_BASE] for _, where in linked):
        # The linker itself, which has noted nothing yet.
        yield MappedProgram("ld.so", auxiliary[_AT_BASE])
    for path, where in linked:
        if path:
            yield MappedProgram(path, where)


def _linked(user: Reads, first: int) -> list[tuple[str, int]]:
    """The dynamic linker's list: paths, and how far each is moved."""
    found: list[tuple[str, int]] = []
    here: int | None = first
    while here and len(found) < _MOST:
        moved, name = user.number(here), user.number(here + 8)
        if moved is None:
            break
        found.append((_text(user, name or 0), moved))
        here = user.number(here + 24)
    return found


def place_of(file: ProgramFile, mapped: list[MappedProgram], memory: Reads, task: Task) -> int:
    """How far the program or library ``file`` is moved, of those that ``task`` has ``mapped``.

    Its build id tells, or where that cannot be read, its name.

    :raises UsageError: it is none of them, or of another build.
    """
    wanted = PurePosixPath(file.path).name
    named = [program for program in mapped if PurePosixPath(program.name).name == wanted]
    for program in [*named, *(program for program in mapped if program not in named)]:
        offset = _offset(program, file)
        found = memory.read(file.note[0] + offset & _MASK, len(file.note[1])) if file.note else b""
        if file.note and found == file.note[1]:
            return offset
        if program in named and not found:
            return offset
    if named:
        raise UsageError(f"{file.path} is of another build than the {named[0].name} that {task} has mapped.")
    listed = ", ".join(program.name for program in mapped)
    raise UsageError(f"{task} has not mapped {wanted} here, but {listed}.")


def _offset(program: MappedProgram, file: ProgramFile) -> int:
    return program.entry - file.entry & _MASK if program.entry else program.offset


def _pairs(raw: bytes) -> Iterator[tuple[int, int]]:
    for key, value in _PAIR.iter_unpack(_whole(raw, _PAIR.size)):
        if not key:
            return
        yield key, value


def _whole(raw: bytes, size: int) -> bytes:
    return raw[: len(raw) - len(raw) % size]


def _text(user: Reads, address: int) -> str:
    """A path in a program's memory; what would not print is shown as a question mark."""
    raw = b""
    while address and len(raw) < _LONGEST_PATH:
        part = user.read(address, _PAGE - address % _PAGE)
        raw += part.partition(b"\0")[0]
        if not part or b"\0" in part:
            break
        address += len(part)
    text = raw.decode(errors="replace")
    return "".join(character if character.isprintable() else "?" for character in text)
