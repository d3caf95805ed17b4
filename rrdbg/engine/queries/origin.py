"""Follow a value back through copies: from a place to the instruction that put it there, and on from its source.

Memory's last change is searched for as everywhere. A register's is found by stepping: one pass over the last 64
instructions, then over longer stretches, up to :data:`LONGEST`; there a copy counts even if the same value was there.
What an instruction does Capstone reads from its code (:mod:`rrdbg.model.program.decoding`). The way ends where a value
is made, or where it cannot be followed, which is then said.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.replay import Replay
from rrdbg.errors import RspError
from rrdbg.links.devices import device_at
from rrdbg.links.machine import Machine
from rrdbg.model.hits.stop import Watchpoint
from rrdbg.model.program.decoding.choice import decoder_for
from rrdbg.model.program.decoding.decoder import Decoder, Instruction
from rrdbg.model.program.moves import (
    NOT_WRITTEN,
    Copied,
    Hop,
    Made,
    MemoryPlace,
    Place,
    RegisterPlace,
    source_of,
)
from rrdbg.model.timeline.position import START, Position

DEPTH = 32
"""Hops that are followed, unless told otherwise."""

LONGEST = 50_000
"""Instructions before its use in which a register's last change is looked for."""

_FIRST = 64
_GROWTH = 8
_PAGE = 4096


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

    :raises UsageError: what instructions do is not known on the guest's architecture, or Capstone is missing.
    :raises RspError: the memory is not mapped.
    """
    decoder = await decoder_of(replay)
    for _ in range(depth):
        hop = await _hop(replay, decoder, place)
        yield hop
        if hop.source is None:
            return
        place = hop.source
        await replay.seek(hop.position)


async def decoder_of(replay: Replay) -> Decoder:
    """What knows the names of the guest's registers, and reads its instructions.

    :raises UsageError: nothing does, or the package that it needs is missing.
    """
    file = (await replay.machine()).register_file
    sizes = {register.name: register.size for register in file.registers.values()}
    return decoder_for(sizes, little_endian=file.byte_order == "little")


async def _hop(replay: Replay, decoder: Decoder, place: Place) -> Hop:
    """The hop that led to the value in ``place`` at the cursor, which is moved to it."""
    try:
        value = await _value(replay, place)
        step = (
            await _last_write(replay, place, value)
            if isinstance(place, MemoryPlace)
            else await _last_step(replay, decoder, place)
        )
    except _Ends as end:
        return Hop(place, end.value, replay.position, await replay.pc(), "", end=str(end))
    await replay.seek(step.position)
    pc = await replay.pc()
    lines = await replay.disassemble(pc, 1)
    hop = Hop(place, value, step.position, pc, lines[0][1] if lines else "")
    if step.is_delivery:
        return replace(hop, end=NOT_WRITTEN)
    instruction = await _instruction(replay, decoder, pc)
    moves = decoder.moves(instruction)
    if moves is None:
        return replace(hop, end="written by an instruction that Capstone does not know")
    found = source_of(moves, place)
    if found == Made(NOT_WRITTEN) and not _delivers(replay, step.position):
        return replace(
            hop, end=f"put there at or before {step.position} by a device, or through another virtual address"
        )
    if isinstance(found, Made):
        return replace(hop, end=found.how, registers=decoder.named(instruction))
    return replace(hop, source=await _source(replay, found, value))


async def _instruction(replay: Replay, decoder: Decoder, pc: int) -> Instruction:
    """The instruction at ``pc``, as the CPU at the cursor reads it."""
    machine = await replay.machine()
    segment = await machine.code_segment()
    registers = await replay.registers() | await machine.segment_bases()
    return Instruction(await _code(replay, decoder, pc), pc, registers, segment.mode if segment else None)


async def _code(replay: Replay, decoder: Decoder, pc: int) -> bytes:
    """So much code from ``pc`` on as an instruction may have, up to the end of what is mapped."""
    try:
        return await replay.read_memory(pc, decoder.longest)
    except RspError:
        return await replay.read_memory(pc, min(decoder.longest, _PAGE - pc % _PAGE))


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


async def _last_step(replay: Replay, decoder: Decoder, place: RegisterPlace) -> _Step:
    """The last step before the cursor that changed ``place``, or copied into it what was there already.

    :raises _Ends: there is none near enough.
    """
    here, length = replay.position, _FIRST
    value = await _value(replay, place)
    while True:
        base = replay.timeline.deliveries.plain_at_or_before(max(here.icount - length, 0))
        watch = _RegisterWatch(place, here, decoder.flags)
        if base < here.icount:
            await replay.approach(base, watch.visit)
        if step := await _last_copy(replay, decoder, place, watch.since) or watch.last:
            return step
        if base == START.icount:
            raise _Ends("there since the start of the recording", value)
        if length >= LONGEST:
            raise _Ends(f"there for more than {LONGEST:,} instructions, and not looked for further back", value)
        length = min(length * _GROWTH, LONGEST)


@dataclass(frozen=True, slots=True)
class _Executed:
    """An instruction executed at ``position``, and the flags before it, which say whether a conditional one was."""

    position: Position
    pc: int
    flags: Mapping[str, int]


@dataclass(slots=True)
class _RegisterWatch:
    """Steps to ``end`` and notes the last step that changed ``place``."""

    place: RegisterPlace
    end: Position
    flags: Sequence[str]
    last: _Step | None = None
    since: list[_Executed] = field(default_factory=list)
    """The instructions executed after that."""

    def _flags(self, machine: Machine) -> list[str]:
        return [name for name in self.flags if name in machine.register_file.registers]

    async def visit(self, walker: Walker) -> None:
        """Make the steps."""
        machine = walker.machine
        packet = await machine.register_packet()
        before = _part(machine, packet, self.place)
        while walker.position < self.end:
            pc = await machine.pc()
            flags = {name: machine.register_file.value(packet, name) for name in self._flags(machine)}
            step = await walker.step()
            packet = await machine.register_packet()
            after = _part(machine, packet, self.place)
            if after != before:
                self.last = _Step(step.before, walker.interrupted(step))
                self.since.clear()
            elif not walker.interrupted(step):
                self.since.append(_Executed(step.before, pc, flags))
            before = after


async def _last_copy(
    replay: Replay, decoder: Decoder, place: RegisterPlace, steps: Sequence[_Executed]
) -> _Step | None:
    """The last of ``steps`` whose instruction copies something into ``place``."""
    if not steps:
        return None
    # Of where an instruction copies from only the flags decide; its other registers are those at the cursor.
    here = await _instruction(replay, decoder, steps[-1].pc)
    copies: dict[tuple[int, tuple[int, ...]], bool] = {}
    codes: dict[int, bytes] = {}
    for step in reversed(steps):
        key = (step.pc, tuple(step.flags.values()))
        if key not in copies:
            if step.pc not in codes:
                codes[step.pc] = await _code(replay, decoder, step.pc)
            registers = {**here.registers, **step.flags}
            found = source_of(decoder.moves(Instruction(codes[step.pc], step.pc, registers, here.mode)) or [], place)
            copies[key] = isinstance(found, Copied) and found.source != place
        if copies[key]:
            return _Step(step.position, is_delivery=False)
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
