"""Two address spaces on AArch64 and RISC-V: what single-stepping says, and what was not written there by that address.

The whole program is stepped through. Its first address space has one page or another at the address, and a page is
written to by another address, too.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.engine.replay import Replay
from rrdbg.links.address_space import space_in_use
from rrdbg.model.hits.physical_place import PhysicalPlace
from rrdbg.model.hits.stop import Hit, StopReason, Watchpoint
from rrdbg.model.timeline.position import START, Position
from tests.engine.conftest import Run
from tests.guests.spaces import SpacesGuest, build_spaces

pytestmark = pytest.mark.matrix

EXAMPLES = int(os.environ.get("RRDBG_EXAMPLES", "6"))
GUESTS = Path(__file__).parents[2] / "build" / "guests"


@dataclass(frozen=True)
class Moment:
    """A stop of the single-stepper: the frame that the first space has at the address, and what the frames hold."""

    position: Position
    root: int | None
    pc: int
    frame: int | None
    held: dict[int, bytes]


@dataclass(frozen=True)
class Event:
    """The step from moment ``index`` changes what a space has at the address, by a write there or otherwise."""

    index: int
    before: bytes
    after: bytes
    written: bool


class Truth:
    """All moments of the program."""

    def __init__(self, guest: SpacesGuest, moments: list[Moment]) -> None:
        self.guest = guest
        self.moments = moments

    def lies(self, root: int, index: int) -> tuple[int, bytes] | None:
        """The frame at the address in a space, and its bytes."""
        moment = self.moments[index]
        frame = moment.frame if root == self.guest.roots[0] else self.guest.frames[1]
        return None if frame is None else (frame, moment.held[frame])

    def writes(self, root: int) -> list[Event]:
        found = []
        for index, moment in enumerate(self.moments[:-1]):
            before, after = self.lies(root, index), self.lies(root, index + 1)
            if moment.root == root and moment.pc in self.guest.stores and before and after and before != after:
                found.append(Event(index, before[1], after[1], written=True))
        return found

    def events(self, root: int, low: int, high: int) -> list[Event]:
        """Writes from moment ``low`` to ``high``, and other changes, if the same memory lies there before and after."""
        writes = [write for write in self.writes(root) if low <= write.index < high]
        found: list[Event] = []
        for first, last in zip([low, *(w.index + 1 for w in writes)], [*(w.index for w in writes), high], strict=True):
            found += self._others(root, first, last)
        return sorted([*found, *writes], key=lambda event: event.index)

    def _others(self, root: int, low: int, high: int) -> list[Event]:
        first, last = self.lies(root, low), self.lies(root, high)
        if first is None or last is None or first[0] != last[0] or first[1] == last[1]:
            return []
        found = []
        for index in range(low, high):
            before, after = self.lies(root, index), self.lies(root, index + 1)
            if before and after and before[0] == after[0] and before != after:
                found.append(Event(index, before[1], after[1], written=False))
        return found

    def physical(self, frame: int) -> list[Event]:
        return [
            Event(index, one.held[frame], other.held[frame], written=True)
            for index, (one, other) in enumerate(zip(self.moments, self.moments[1:], strict=False))
            if one.held[frame] != other.held[frame]
        ]

    def of_root(self, root: int) -> list[int]:
        """The moments in a space, after the first write there and before the last one."""
        writes = self.writes(root)
        return [i for i in range(writes[0].index + 1, writes[-1].index) if self.moments[i].root == root]


@pytest.fixture(scope="module", params=["aarch64", "riscv64"])
def truth(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    guest = build_spaces(request.param, GUESTS)
    recording = tmp_path_factory.mktemp("spaces") / request.param

    async def observe() -> list[Moment]:
        await Recorder(RecordRequest(tuple(guest.command), recording)).run()
        async with await Replay.open(recording) as replay:
            moments = [await _moment(replay, guest)]
            while replay.position < replay.timeline.end:
                await replay.stepi()
                moments.append(await _moment(replay, guest))
            return moments

    return recording, Truth(guest, asyncio.run(observe()))


async def _moment(replay: Replay, guest: SpacesGuest) -> Moment:
    machine = await replay.machine()
    held = {frame: await machine.read_physical(frame, 8) for frame in guest.frames}
    entry = int.from_bytes(await machine.read_physical(guest.entry, 8), "little")
    root = await space_in_use(machine)
    return Moment(
        replay.position, root if root in guest.roots else None, await replay.pc(), guest.frame_of(entry), held
    )


@pytest.fixture
def loop() -> Iterator[Run[object]]:
    with asyncio.Runner() as runner:
        yield runner.run


def _told(hits: list[Hit]) -> list[tuple[Position, bytes, bytes, bool]]:
    assert all(hit.change for hit in hits)
    return [(hit.position, hit.change.before, hit.change.after, hit.unwritten is None) for hit in hits if hit.change]


def _expected(truth: Truth, events: list[Event]) -> list[tuple[Position, bytes, bytes, bool]]:
    return [(truth.moments[e.index + 1].position, e.before, e.after, e.written) for e in events]


async def _all(replay: Replay, point: Watchpoint, start: Position, end: Position) -> list[Hit]:
    async with aclosing(replay.scan([point], start, end)) as hits:
        return [hit async for hit in hits]


def test_each_space_has_its_own_writes_and_what_others_have_done_to_it(truth: tuple[Path, Truth]) -> None:
    recording, known = truth

    async def check() -> None:
        rng = random.Random(17)
        async with await Replay.open(recording) as replay:
            for root in known.guest.roots:
                moments = known.of_root(root)
                first = known.writes(root)[0].index
                assert len(known.writes(root)) > 40
                for here in rng.sample(moments, EXAMPLES):
                    replay.points.delete()
                    replay.spaces.forget()
                    await replay.seek(known.moments[here].position)
                    assert await replay.space_in_use() == root
                    (point,) = await replay.bound_here([Watchpoint(-1, known.guest.shared, 8)])
                    low, high = sorted(rng.sample(range(first + 1, moments[-1]), 2))
                    stretch = known.moments[low].position, known.moments[high].position
                    found = await _all(replay, point, *stretch)
                    # What comes before the first write of a stretch is known only from the cursor on.
                    expected = known.events(root, low, high)
                    writes = [event.index for event in expected if event.written]
                    expected = [e for e in expected if writes and e.index >= writes[0]]
                    assert _told(found) == _expected(known, expected)
                    last = [e for e in known.events(root, first, here) if e.index < here][-1]
                    found_last = await replay.last_before(known.moments[here].position, [point])
                    assert found_last
                    assert _told([found_last[1]]) == _expected(known, [last])
                    assert found_last[0] == known.moments[last.index].position
                    replay.points.add_watchpoint(known.guest.shared, 8)
                    stop = await replay.cont()
                    ahead = known.events(root, here, len(known.moments) - 1)[0]
                    assert stop.reason is StopReason.WATCHPOINT
                    assert _told(list(stop.hits)) == _expected(known, [ahead])
                    assert replay.position == known.moments[ahead.index + 1].position

    asyncio.run(check())
    assert any(not event.written for event in known.events(known.guest.roots[0], 0, len(known.moments) - 1))


def test_the_memory_itself_is_written_to_by_any_address(truth: tuple[Path, Truth]) -> None:
    recording, known = truth
    frame = known.guest.frames[0]

    async def check() -> None:
        async with await Replay.open(recording) as replay:
            point = Watchpoint.on_physical(-1, PhysicalPlace(frame, 8))
            end = replay.timeline.end
            expected = _expected(known, known.physical(frame))
            assert _told(await _all(replay, point, START, end)) == expected
            pcs = {known.moments[event.index].pc for event in known.physical(frame)}
            assert known.guest.other in pcs
            assert pcs & known.guest.stores
            found = await replay.last_before(end, [point])
            assert found
            assert _told([found[1]]) == expected[-1:]
            await replay.seek(known.moments[known.writes(known.guest.roots[0])[0].index + 40].position)
            for event in [e for e in known.physical(frame) if known.moments[e.index].position >= replay.position][:3]:
                replay.points.delete()
                replay.points.add_physical(PhysicalPlace(frame, 8))
                stop = await replay.cont()
                assert _told(list(stop.hits)) == _expected(known, [event])

    asyncio.run(check())
