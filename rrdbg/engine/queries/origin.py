"""Follow a value back through copies: from a place to the instruction that put it there, and on from its source.

Memory's last change is searched for as everywhere. A register's is found by stepping: one pass over the last 64
instructions, then over longer stretches, up to :data:`LONGEST`; there a copy counts even if the same value was there.
What an instruction does is read from its text (:mod:`rrdbg.model.program.moves`). The way ends where a value is made,
or where it cannot be followed, which is then said.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace

from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.replay import Replay
from rrdbg.errors import RspError, UsageError
from rrdbg.links.devices import device_at
from rrdbg.links.machine import Machine
from rrdbg.model.hits.stop import Watchpoint
from rrdbg.model.program.moves import (
    NOT_WRITTEN,
    Copied,
    Hop,
    Instruction,
    Made,
    MemoryPlace,
    Place,
    RegisterPlace,
    register_named,
    source_of,
)
from rrdbg.model.timeline.position import START, Position

DEPTH = 32
"""Hops that are followed, unless told otherwise."""

LONGEST = 50_000
"""Instructions before its use in which a register's last change is looked for."""

_FIRST = 64
_GROWTH = 8
_REGISTER = re.compile(r"%(\w+)")


@dataclass(frozen=True, slots=True)
class _Step:
    """The step from ``position`` changed a place; ``is_delivery`` tells that it took an interrupt."""

    position: Position
    is_delivery: bool


class _Ends(Exception):
    """The value can be followed no further; the message says why, and ``value`` is it, if it is known."""

    def __init__(self, why: str, value: bytes = b"") -> None:
        super().__init__(why)
        self.value = value


async def origin(replay: Replay, place: Place, depth: int = DEPTH) -> AsyncGenerator[Hop, None]:
    """How the value at the cursor in ``place`` got there, from the last hop to the first; moves the cursor.

    At each hop the cursor stands on its instruction, which is about to be executed.

    :raises UsageError: what instructions do is not known on the guest's architecture.
    :raises RspError: the memory is not mapped.
    """
    if "rip" not in await replay.registers():
        raise UsageError("Values are followed on x86-64 guests only; use 'last EXPR' from hop to hop.")
    for _ in range(depth):
        hop = await _hop(replay, place)
        yield hop
        if hop.source is None:
            return
        place = hop.source
        await replay.seek(hop.position)


async def _hop(replay: Replay, place: Place) -> Hop:
    """The hop that led to the value in ``place`` at the cursor, which is moved to it."""
    try:
        value = await _value(replay, place)
        step = (
            await _last_write(replay, place, value)
            if isinstance(place, MemoryPlace)
            else await _last_step(replay, place)
        )
    except _Ends as end:
        return Hop(place, end.value, replay.position, await replay.pc(), "", end=str(end))
    await replay.seek(step.position)
    pc = await replay.pc()
    lines = await replay.disassemble(pc, 2)
    hop = Hop(place, value, step.position, pc, lines[0][1] if lines else "")
    if step.is_delivery:
        return replace(hop, end=NOT_WRITTEN)
    if len(lines) < 2:
        return replace(hop, end="written by an instruction that QEMU cannot disassemble")
    registers = await replay.registers()
    found = source_of(Instruction(hop.instruction, lines[1][0], registers), place)
    if found == Made(NOT_WRITTEN) and not _delivers(replay, step.position):
        return replace(
            hop, end=f"put there at or before {step.position} by a device, or through another virtual address"
        )
    if isinstance(found, Made):
        return replace(hop, end=found.how, registers=_named(hop.instruction, registers))
    return replace(hop, source=await _source(replay, found, value))


def _delivers(replay: Replay, position: Position) -> bool:
    """True if the step from ``position`` may take an interrupt or exception."""
    return replay.timeline.deliveries.any_between(position.icount, position.icount + 1)


async def _value(replay: Replay, place: Place) -> bytes:
    """The bytes in ``place`` at the cursor.

    :raises _Ends: it is a device.
    :raises RspError: it is not mapped.
    """
    machine = await replay.machine()
    if isinstance(place, RegisterPlace):
        return _part(machine, await machine.register_packet(), place)
    if device := await device_at(machine, place.address):
        raise _Ends(f"read from the device '{device}'")
    return await replay.read_memory(place.address, place.size)


async def _last_write(replay: Replay, place: MemoryPlace, value: bytes) -> _Step:
    """The step that wrote ``value`` to ``place``.

    :raises _Ends: there is none.
    """
    points = await replay.bound_here([Watchpoint(-1, place.address, place.size)])
    found = await replay.last_before(replay.position, points)
    if found is None:
        raise _Ends(
            "there since the start of the recording, or put there by a device or through another virtual address", value
        )
    target, hit = found
    if hit.unwritten:
        raise _Ends(
            f"put there between {target} and {hit.position} by a device, or through another virtual address", value
        )
    if hit.change and hit.change.after != value:
        raise _Ends(f"put there after {hit.position} by a device, or through another virtual address", value)
    return _Step(target, hit.position.icount == target.icount)


async def _last_step(replay: Replay, place: RegisterPlace) -> _Step:
    """The last step before the cursor that changed ``place``, or copied into it what was there already.

    :raises _Ends: there is none near enough.
    """
    here, length = replay.position, _FIRST
    value = await _value(replay, place)
    while True:
        base = replay.timeline.deliveries.plain_at_or_before(max(here.icount - length, 0))
        watch = _RegisterWatch(place, here)
        if base < here.icount:
            await replay.approach(base, watch.visit)
        if step := await _last_copy(replay, place, watch.since) or watch.last:
            return step
        if base == START.icount:
            raise _Ends("there since the start of the recording", value)
        if length >= LONGEST:
            raise _Ends(f"there for more than {LONGEST:,} instructions, and not looked for further back", value)
        length = min(length * _GROWTH, LONGEST)


@dataclass(slots=True)
class _RegisterWatch:
    """Steps to ``end`` and notes the last step that changed ``place``."""

    place: RegisterPlace
    end: Position
    last: _Step | None = None
    since: list[tuple[Position, int]] = field(default_factory=list)
    """The instructions executed after that, and their addresses."""

    async def visit(self, walker: Walker) -> None:
        """Make the steps."""
        machine = walker.machine
        before = _part(machine, await machine.register_packet(), self.place)
        while walker.position < self.end:
            pc = await machine.pc()
            step = await walker.step()
            after = _part(machine, await machine.register_packet(), self.place)
            if after != before:
                self.last = _Step(step.before, walker.interrupted(step))
                self.since.clear()
            elif not walker.interrupted(step):
                self.since.append((step.before, pc))
            before = after


async def _last_copy(replay: Replay, place: RegisterPlace, steps: Sequence[tuple[Position, int]]) -> _Step | None:
    """The last of ``steps`` whose instruction copies something into ``place``."""
    registers = await replay.registers()
    copies: dict[int, bool] = {}
    for position, pc in reversed(steps):
        if pc not in copies:
            lines = await replay.disassemble(pc, 1)
            found = source_of(Instruction(lines[0][1], 0, registers), place) if lines else None
            copies[pc] = isinstance(found, Copied) and found.source != place
        if copies[pc]:
            return _Step(position, is_delivery=False)
    return None


async def _source(replay: Replay, found: Copied, value: bytes) -> Place:
    """Where to go on: with all of the value, if it was copied piece by piece from bytes that are the same."""
    if isinstance(found.whole, MemoryPlace):
        with contextlib.suppress(RspError):
            if await replay.read_memory(found.whole.address, found.whole.size) == value:
                return found.whole
    return found.source


def _part(machine: Machine, packet: bytes, place: RegisterPlace) -> bytes:
    register = machine.register_file.registers[place.name]
    start = 2 * (register.offset + place.offset)
    return bytes.fromhex(packet[start : start + 2 * place.size].decode())


def _named(text: str, registers: dict[str, int]) -> dict[str, int]:
    """The values of the registers that an instruction names."""
    places = {name: register_named(name, registers) for name in _REGISTER.findall(text)}
    return {place.name: registers[place.name] for place in places.values() if place}
