"""What a guest does with its instructions: its stack at every so many of them, the same each time.

A machine is stopped at each sample by a fence, which costs a millisecond or two, and its stack is read in one piece. So
a sample is exactly where it says, on every QEMU; what is delivered there is one more reason to take the next place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from rrdbg.engine.machines.progress import Stretch
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.replay import Replay
from rrdbg.errors import RspError, UsageError
from rrdbg.links.machine import Machine
from rrdbg.model.linux.task import Running
from rrdbg.model.program.call_frames import CONVENTIONS, CallFrames, Convention, stack
from rrdbg.model.timeline.position import Position

MOST_FRAMES = 64

Who = Callable[[Machine], Awaitable[Running | None]]
"""Tells which task runs where a machine stands; None where that is not known."""

_STACK_BYTES = 4096
"""Read at once: more than nearly all stacks of kernels have. What lies beyond is read word by word."""

_SAMPLES = 1000
"""Unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The ``stack`` at ``position``, the innermost address first; who runs, where that is known."""

    position: Position
    stack: tuple[int, ...]
    running: Running | None = None


def spacing(start: Position, end: Position) -> int:
    """How many instructions apart samples are unless somebody says so: a round number."""
    wanted = max((end.icount - start.icount) // _SAMPLES, 1)
    magnitude = int(10 ** (len(str(wanted)) - 1))
    return next(step * magnitude for step in (1, 2, 5, 10) if step * magnitude >= wanted)


async def profile(
    replay: Replay,
    every: int,
    start: Position,
    end: Position,
    frames: CallFrames | None,
    who: Who | None = None,
) -> AsyncGenerator[Sample, None]:
    """A sample at each multiple of ``every`` instructions from ``start`` on and before ``end``, in order.

    Where something is delivered at just that icount the sample is at the next one where nothing is. ``who`` tells which
    task runs. The cursor stays.

    :raises UsageError: how stacks look on the guest's architecture is not known.
    """
    architecture = replay.recording.manifest.invocation.architecture
    convention = CONVENTIONS.get(architecture)
    if convention is None:
        known = ", ".join(CONVENTIONS)
        raise UsageError(f"How a stack of {architecture} is unwound rrdbg does not know; it does of {known}.")
    taken: asyncio.Queue[Sample | None] = asyncio.Queue()
    sampler = _Sampler(replay, convention, frames, who, taken.put_nowait)

    async def take(walker: Walker) -> None:
        await sampler.take(walker, every, start, end)

    task = asyncio.create_task(replay.visit(start, take))
    task.add_done_callback(lambda _: taken.put_nowait(None))
    try:
        while sample := await taken.get():
            yield sample
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])


class _Sampler:
    def __init__(
        self,
        replay: Replay,
        convention: Convention,
        frames: CallFrames | None,
        who: Who | None,
        tell: Callable[[Sample], None],
    ) -> None:
        self._replay = replay
        self._convention = convention
        self._frames = frames
        self._who = who
        self._tell = tell
        self._taken = Position(-1)

    async def take(self, walker: Walker, every: int, start: Position, end: Position) -> None:
        """Walk from ``start`` to ``end`` and tell each sample; again, should the machine have died on the way."""
        plain = self._replay.timeline.deliveries
        stretch = Stretch.alone(self._replay.timeline.cost, start.icount, end.icount, self._replay.on_progress)
        wanted = -(-start.icount // every) * every
        while True:
            icount = wanted if plain.is_plain(wanted) else plain.plain_after(wanted)
            if Position(icount) >= end:
                return
            if icount > walker.position.icount:
                await walker.run_to(icount, stretch.at)
            if Position(icount) >= start and Position(icount) > self._taken:
                self._tell(await self._sample(walker))
                self._taken = walker.position
            stretch.at(icount)
            wanted = max(wanted + every, icount + 1)

    async def _sample(self, walker: Walker) -> Sample:
        machine = walker.machine
        registers, pc = await machine.registers(), await machine.pc()
        words = _Words(machine, self._convention.word)
        sp = next(
            (registers[name] for name, number in self._convention.numbers.items() if number == self._convention.sp), 0
        )
        await words.know(sp)
        while True:
            found = stack(self._frames, self._convention, pc, registers, words.read, MOST_FRAMES)
            if not await words.know_missed():
                break
        running = await self._who(machine) if self._who else None
        return Sample(walker.position, found, running)


class _Words:
    """Words of a machine's memory where it stands: what has not been read so far is noted as missed."""

    def __init__(self, machine: Machine, size: int) -> None:
        self._machine = machine
        self._size = size
        self._known: dict[int, bytes] = {}
        self._missed: set[int] = set()

    def read(self, address: int) -> int | None:
        """The word at an address; None where it is not mapped, or not known yet."""
        for start, data in self._known.items():
            if start <= address and address + self._size <= start + len(data):
                return int.from_bytes(data[address - start : address - start + self._size], "little")
        if address not in self._known:
            self._missed.add(address)
        return None

    async def know(self, address: int) -> None:
        """Read a piece from ``address`` on, as far as its page where the next one is not mapped."""
        for length in (_STACK_BYTES, _STACK_BYTES - address % _STACK_BYTES, 0):
            try:
                self._known[address] = await self._machine.read_memory(address, length) if length else b""
            except RspError:
                continue
            return

    async def know_missed(self) -> bool:
        """Read what was missed; False if there is nothing."""
        missed, self._missed = self._missed, set()
        for address in missed:
            await self.know(address)
        return bool(missed)
