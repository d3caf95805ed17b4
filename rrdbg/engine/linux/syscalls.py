"""The system calls that a guest's programs have made, though nobody traced them.

The kernel's one function for them is given the registers of the program, and comes back to one place, where the result
stands among them, as far from the stack's end as they were (:mod:`rrdbg.model.linux.syscall_abi`). So two breakpoints
tell all; which call comes back is known by its task. Their names are those of the functions in the kernel's own table.
Calls of 32-bit programs go another way, and are not told of.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from rrdbg.engine.linux.kernel import symbols_kept
from rrdbg.engine.linux.memory import KernelMemory
from rrdbg.engine.linux.switches import TaskAt, current_variable
from rrdbg.engine.linux.tasks import TaskReader
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.replay import Replay
from rrdbg.errors import RspError, UsageError
from rrdbg.links.elf import read_kernel_file
from rrdbg.links.machine import Machine
from rrdbg.model.hits.stop import Breakpoint, NotedHit
from rrdbg.model.linux.syscall_abi import ABIS, SyscallAbi
from rrdbg.model.linux.syscall_arguments import LONGEST_TEXT, SHOWN_DATA, kinds_of
from rrdbg.model.linux.syscalls import Syscall, syscall_name
from rrdbg.model.linux.task import Task
from rrdbg.model.timeline.position import START, Position

_TABLE = "sys_call_table"
_KERNEL_HALF = 1 << 63
_MOST_CALLS = 1024
_PAGE = 4096
_ENTRY, _EXIT = -1, -2


@dataclass(frozen=True, slots=True)
class _Entered:
    """A system call that begins."""

    task: Task
    name: str
    arguments: Sequence[int]
    texts: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class _Left:
    """One that has ended, and the bytes at the arguments of the program's registers, of which one may have been for."""

    task: Task
    name: str
    arguments: Sequence[int]
    result: int
    texts: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class _First:
    """What the first call of a recording tells of all: where they come ``back``, and what they are called.

    There the program's registers are saved ``distance`` bytes from the stack's end.
    """

    abi: SyscallAbi
    back: int
    distance: int
    names: dict[int, str]
    task_at: TaskAt


@dataclass(frozen=True, slots=True)
class _Note:
    """Notes what a call is where a machine stands at one of the two places; only those that are ``wanted`` count."""

    first: _First
    task: str
    name: str

    async def __call__(self, machine: Machine, point: Breakpoint) -> object:
        abi, after = self.first.abi, point.number == _EXIT
        registers = await machine.registers()
        place = registers[abi.stack] + self.first.distance if after else _saved(abi, registers)
        saved = abi.read(await machine.read_memory(place, abi.size), after=after)
        if saved is None:
            return False
        name = self.first.names.get(saved.number) or f"syscall_{saved.number}"
        if self.name and name != self.name:
            return False
        task = await self.first.task_at(machine)
        # What comes back may have another name by now: execve gives one.
        if not after and self.task and not task.is_called(self.task):
            return False
        if not after:
            return _Entered(task, name, saved.arguments, await _texts(machine, name, saved.arguments, None))
        texts = await _texts(machine, name, saved.arguments, saved.result)
        return _Left(task, name, saved.arguments, saved.result, texts)


def _saved(abi: SyscallAbi, registers: Mapping[str, int]) -> int:
    """Where the program's registers are saved: the first of the function's arguments that is a pointer of the kernel's.

    Linux 5.12 has moved it on x86-64.
    """
    return next(registers[name] for name in abi.given if registers[name] & _KERNEL_HALF)


async def _texts(machine: Machine, name: str, arguments: Sequence[int], result: int | None) -> dict[int, bytes]:
    """What arguments point to: paths and data that go in, before the call; data that came out, after it."""
    found = {}
    for number, kind in enumerate(kinds_of(name, arguments)):
        if not arguments[number]:
            continue
        # A path that is not mapped yet is when the call comes back, unless the program is another one then.
        with contextlib.suppress(RspError):
            if kind == "path" and (result is None or name != "execve"):
                found[number] = await _path(machine, arguments[number])
            elif result is None and kind == "in":
                found[number] = await _data(machine, arguments[number], arguments[number + 1])
            elif result is not None and result < _KERNEL_HALF:
                if kind == "text":
                    found[number] = await _path(machine, arguments[number])
                elif kind in ("out", "random"):
                    found[number] = await _data(machine, arguments[number], result)
    return found


async def _data(machine: Machine, address: int, length: int) -> bytes:
    return await _read(machine, address, min(length, SHOWN_DATA + 1)) if length else b""


async def _read(machine: Machine, address: int, length: int) -> bytes:
    """A program's memory, while the kernel runs.

    :raises RspError: it is not mapped.
    """
    try:
        return await machine.read_memory(address, length)
    except RspError:
        # On riscv64 the kernel may not look there at any time, and from QEMU 10 on the stub is as strict.
        memory = await KernelMemory.of(machine)
        if memory is None:
            raise
        with memory:
            found = memory.read(address, length)
        if len(found) < length:
            raise
        return found


async def _path(machine: Machine, address: int) -> bytes:
    """The bytes up to a zero, read by pages: the next one may not be mapped."""
    text = b""
    while len(text) < LONGEST_TEXT:
        part = await _read(machine, address, min(_PAGE - address % _PAGE, 256))
        text += part.partition(b"\0")[0]
        if b"\0" in part:
            return text
        address += len(part)
    return text


async def syscalls(
    replay: Replay, reader: TaskReader, start: Position, end: Position, *, task: str = "", name: str = ""
) -> AsyncGenerator[Syscall, None]:
    """The system calls that begin from ``start`` on and before ``end``, each when it has come back.

    What does not comes last. Only those of the ``task`` with that name or number, and called ``name``, if these
    are not empty.

    :raises UsageError: it is not known how this kernel is called, or no system call is made.
    """
    addresses = reader.kernel.addresses
    abi = next((abi for abi in ABIS if abi.function in addresses), None)
    if abi is None:
        *others, last = (abi.function for abi in ABIS)
        raise UsageError(
            "System calls are known of kernels of x86-64, aarch64 and, from Linux 6.5 on, riscv64, which have a symbol "
            f"{', '.join(others)} or {last}; this one has none."
        )
    first = await _learn(replay, reader, abi)
    points = [Breakpoint(_ENTRY, addresses[abi.function]), Breakpoint(_EXIT, first.back)]
    hits = replay.scan(points, start, end, _Note(first, task, name))
    open_calls: dict[int, Syscall] = {}
    async with aclosing(hits):
        async for hit in hits:
            assert isinstance(hit, NotedHit)
            note = hit.note
            if isinstance(note, _Entered):
                call = Syscall(hit.position, note.task, note.name, note.arguments, note.texts, abi=abi)
                if unfinished := open_calls.pop(note.task.address, None):
                    yield unfinished
                open_calls[note.task.address] = call
            elif isinstance(note, _Left) and (begun := open_calls.pop(note.task.address, None)):
                texts = {**note.texts, **begun.texts}
                yield replace(begun, texts=texts, returned=hit.position, result=note.result)
    for unfinished in sorted(open_calls.values(), key=lambda call: call.position):
        yield unfinished


async def _learn(replay: Replay, reader: TaskReader, abi: SyscallAbi) -> _First:
    entry = reader.kernel.addresses[abi.function]
    async with aclosing(replay.scan([Breakpoint(_ENTRY, entry)], START, replay.timeline.end)) as hits:
        hit = await anext(hits, None)
    if hit is None:
        raise UsageError("The guest has made no system call in this recording.")
    target, symbols = hit.position, symbols_kept(replay.recording)
    functions = read_kernel_file(symbols).addresses if symbols else {}

    async def look(walker: Walker) -> _First:
        await walker.arrive(target)
        machine = walker.machine
        registers = await machine.registers()
        stack = registers[abi.stack]
        on_top = int.from_bytes(await machine.read_memory(stack, 8), "little")
        memory = await KernelMemory.of(machine)
        assert memory is not None, "a kernel that is called has page tables"
        with memory:
            names = _names(memory, reader.kernel.addresses.get(_TABLE), functions, abi)
        return _First(
            abi, registers[abi.back] if abi.back else on_top, _saved(abi, registers) - stack - abi.pushed, names,
            TaskAt.of(reader.kernel, await current_variable(machine, reader)),
        )  # fmt: skip

    return await replay.visit(target, look)


def _names(memory: KernelMemory, table: int | None, functions: Mapping[str, int], abi: SyscallAbi) -> dict[int, str]:
    """What the calls are called, by number: by the functions in the kernel's table."""
    known: dict[int, str] = {}
    for symbol, address in functions.items():
        if name := syscall_name(symbol, abi):
            known[address] = name
    raw = memory.read(table, 8 * _MOST_CALLS) if table else b""
    functions_by_number = (int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw) - 7, 8))
    return {number: known[address] for number, address in enumerate(functions_by_number) if address in known}
