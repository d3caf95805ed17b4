"""What was once found is not looked for again, and the answers are those of the forward run all the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrdbg.engine.machines.launcher import Launcher
from rrdbg.engine.replay import Replay
from rrdbg.engine.search import backward as search
from rrdbg.engine.search import hits as hits_module
from rrdbg.links.machine import Machine
from rrdbg.model.hits.index import PointKey
from rrdbg.model.hits.stop import Breakpoint, Hit, Point, StopReason, WatchKind, Watchpoint
from rrdbg.model.timeline.position import START
from rrdbg.store.hits_file import load_hits
from rrdbg.store.recording import Recording
from tests.engine.conftest import Run
from tests.engine.test_oracle import indices, is_at, thorough
from tests.oracle import Oracle


@dataclass
class Starts:
    """How many QEMUs were started."""

    count: int = 0


@contextmanager
def counting() -> Iterator[Starts]:
    starts = Starts()
    start = Launcher.start

    async def counted(self: Launcher, *arguments: Any, **options: Any) -> Any:
        starts.count += 1
        return await start(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Launcher, "start", counted)
        yield starts


def points_of(busy: Oracle, watched: dict[int, int]) -> list[Point]:
    """A breakpoint on the interrupt handler and one in a loop, and two variables."""
    counter, ring = watched
    handler = next(entry.pc for entry in busy.entries if entry.position.phase)
    pcs = [entry.pc for entry in busy.entries]
    return [
        Breakpoint(-1, handler), Breakpoint(-2, max(set(pcs), key=pcs.count)),
        Watchpoint(-3, counter, 8), Watchpoint(-4, ring, 8),
    ]  # fmt: skip


def stops(busy: Oracle, points: list[Point]) -> list[int]:
    """Where the oracle has a stop for any of ``points``: the index of the instruction."""
    found: set[int] = set()
    for point in points:
        found |= set(busy.hits(point.address) if isinstance(point, Breakpoint) else busy.changes(point.address))
    return sorted(found)


@thorough
@given(
    asked=st.lists(
        st.tuples(st.sets(st.integers(0, 3), min_size=1), indices, indices, st.sampled_from(["back", "ahead", "all"])),
        min_size=2, max_size=4,
    ),
    many=st.integers(1, 60),
)  # fmt: skip
def test_every_answer_is_the_forward_runs(
    run: Run[Any],
    replay: Replay,
    busy: Oracle,
    watched: dict[int, int],
    asked: list[tuple[set[int], int, int, str]],
    many: int,
) -> None:
    """Whatever was asked before, and in whichever order: the index is the same for all examples, and only grows."""

    async def check() -> None:
        for numbers, one, other, how in asked:
            points = [points_of(busy, watched)[number] for number in numbers]
            low, high = sorted((one % len(busy), other % (len(busy) - 1)))
            here, there = busy[low].position, busy[high].position
            known = stops(busy, points)
            if how == "all" and low < high:
                found = [hit async for hit in replay.scan(points, here, there)]
                wanted = [
                    (busy[index + isinstance(point, Watchpoint)].position.icount, point.number)
                    for point in points
                    for index in stops(busy, [point])
                    if low <= index < high
                ]
                assert sorted((hit.position.icount, hit.point.number) for hit in found) == sorted(wanted)
            elif how == "back" and any(index < high for index in known):
                await replay.seek(there)
                await is_at(replay, busy, max(i for i in known if i < high), await replay.reverse_cont(points))
            elif how == "ahead":
                breaks = [
                    i for point in points if isinstance(point, Breakpoint) for i in stops(busy, [point]) if i > low
                ]
                writes = [
                    i + 1 for point in points if isinstance(point, Watchpoint) for i in stops(busy, [point]) if i >= low
                ]
                if breaks or writes:
                    await replay.seek(here)
                    await is_at(replay, busy, min(breaks + writes), await replay.cont(points))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "MANY", many)
        patch.setattr(search, "SHORT", 10)
        patch.setattr(hits_module, "SHORT", 0)
        run(check())


def test_going_on_from_write_to_write_starts_one_machine(
    run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int]
) -> None:
    """The one that looks at each write before it is made, which follows the cursor."""
    counter = Watchpoint(-1, next(iter(watched)), 8)

    async def check() -> None:
        await replay.seek(busy[0].position)
        with counting() as starts:
            for change in busy.changes(counter.address)[:6]:
                await is_at(replay, busy, change + 1, await replay.cont([counter]))
        assert starts.count <= 1

    run(check())


def test_the_second_question_costs_one_seek(
    run: Run[Any], workload: Path, busy: Oracle, watched: dict[int, int], tmp_path: Path
) -> None:
    """Also in another session, also for the neighbours of what was asked, also ahead."""
    copy = Path(shutil.copytree(workload, tmp_path / "copy"))
    counter = Watchpoint(-1, next(iter(watched)), 8)
    changes = busy.changes(counter.address)

    async def ask(replay: Replay, starts: Starts) -> None:
        for later, change in zip(changes[:0:-1], changes[-2::-1], strict=True):
            await replay.seek(busy[later].position)
            before = starts.count
            await is_at(replay, busy, change, await replay.reverse_cont([counter]))
            assert starts.count - before <= 1

    async def check() -> None:
        with counting() as starts:
            async with await Replay.open(copy) as replay:
                await replay.seek(busy[len(busy) - 1].position)
                await is_at(replay, busy, changes[-1], await replay.reverse_cont([counter]))
                await ask(replay, starts)
            async with await Replay.open(copy) as replay:
                await ask(replay, starts)
                await replay.seek(busy[0].position)
                before = starts.count
                hits = replay.scan([counter], busy[0].position, busy[len(busy) - 1].position)
                assert [hit.position async for hit in hits] == [busy[index + 1].position for index in changes]
                await is_at(replay, busy, changes[0] + 1, await replay.cont([counter]))
                # One machine looks whether anything but instructions has changed it meanwhile.
                assert starts.count <= before + 1

    run(check())


def test_conditions_are_judged_anew_but_only_where_something_is_hit(
    run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int]
) -> None:
    loop = points_of(busy, watched)[1]
    entries = busy.hits(loop.address)
    wanted = entries[len(entries) // 2]
    value = busy.registers(wanted)["rax"]
    judged = 0

    async def holds(machine: Machine, point: Breakpoint) -> bool:
        nonlocal judged
        judged += 1
        return (await machine.registers())["rax"] == value

    async def check() -> None:
        last = max(i for i in entries if busy.registers(i)["rax"] == value)
        for _ in range(2):
            await replay.seek(busy[len(busy) - 1].position)
            await is_at(replay, busy, last, await replay.reverse_cont([loop], holds))
            assert judged
            await replay.seek(busy[len(busy) - 1].position)
            await replay.reverse_cont([loop])  # which notes what the next round may make use of
        nowhere = Breakpoint(-9, 0xDEAD_0000)
        assert (await replay.reverse_cont([nowhere])).reason is StopReason.START
        await replay.seek(replay.timeline.end)
        with counting() as starts, pytest.MonkeyPatch.context() as patch:
            patch.setattr(hits_module, "JUMP_SECONDS", 0.0)
            assert [hit async for hit in replay.scan([nowhere], START, busy[0].position, holds)] == []
            assert starts.count == 0

    run(check())


def test_a_scan_that_is_left_is_known_as_far_as_it_went(
    run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int]
) -> None:
    counter = Watchpoint(-1, next(iter(watched)), 8)

    async def some(count: int) -> list[Hit]:
        hits = replay.scan([counter], START, replay.timeline.end)
        found = [await anext(hits) for _ in range(count)]
        await hits.aclose()
        return found

    async def check() -> None:
        first = await some(5)
        with counting() as starts:
            assert await some(5) == first
            assert starts.count <= 1, "that looks for changes that no instruction has made"
        assert (await some(8))[:5] == first
        known = replay.hits.index.points[PointKey.of(counter)]
        assert len(known.hits) == 8
        assert known.covered == ((START, known.hits[-1].position),)

    run(check())


def test_several_access_watchpoints_are_not_mixed(
    run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int]
) -> None:
    """QEMU reports one access of an instruction, so what one of two such points is told depends on the other."""
    both = [Watchpoint(-1 - number, address, 8, WatchKind.ACCESS) for number, address in enumerate(watched)]

    async def check() -> None:
        end = busy[len(busy) - 1].position
        assert [hit async for hit in replay.scan(both, busy[0].position, end)]
        assert not replay.hits.index.points
        alone = [hit async for hit in replay.scan(both[:1], busy[0].position, end)]
        assert list(replay.hits.index.points[PointKey.of(both[0])].hits) == [
            replace(hit, point=PointKey.of(both[0]).point()) for hit in alone
        ]

    run(check())


def test_a_file_that_cannot_be_used_is_left_out_of_account(
    run: Run[Any],
    workload: Path,
    busy: Oracle,
    watched: dict[int, int],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    copy = Path(shutil.copytree(workload, tmp_path / "copy"))
    counter = Watchpoint(-1, next(iter(watched)), 8)

    async def ask() -> None:
        async with await Replay.open(copy) as replay:
            await replay.seek(busy[len(busy) - 1].position)
            await is_at(replay, busy, busy.changes(counter.address)[-1], await replay.reverse_cont([counter]))

    run(ask())
    path = copy / "hits.json"
    content = json.loads(path.read_bytes())
    with Recording.open(copy) as recording:
        kept = load_hits(recording).points[PointKey.of(counter)].hits[-1]
    for wrong in (
        b"{",
        b"[]",
        json.dumps(content | {"log": "0"}).encode(),
        json.dumps(content | {"schema": 0}).encode(),
    ):
        caplog.clear()
        path.write_bytes(wrong)
        run(ask())
        assert "is not used" in caplog.text
        with Recording.open(copy) as recording:
            # How much of what is before it was searched, too, depends on where snapshots are.
            assert load_hits(recording).points[PointKey.of(counter)].hits[-1] == kept, "written anew"
