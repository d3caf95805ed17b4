"""Looks at the guest at every so many instructions, and to the hits around the cursor, held against the forward run."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from rrdbg.engine.queries.levels import levels
from rrdbg.engine.queries.sampling import spacing
from rrdbg.engine.queries.tracks import timeline_tracks
from rrdbg.links.program_file import read_program_file
from rrdbg.model.program.code import Functions
from rrdbg.model.results import Found, Message, StackSample, Stopped
from rrdbg.model.timeline.line import WHO_RAN
from rrdbg.model.timeline.position import Position
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from tests.guests.build import symbol
from tests.oracle import Oracle
from tests.shell.conftest import Opened, User

EVERY = 197


def name_at(functions: Functions, address: int) -> str:
    function = functions.at(address)
    return function.name if function else ""


def places(oracle: Oracle, every: int, last: Position) -> list[int]:
    """Where samples are before ``last``: at the multiples, or behind what is delivered there."""
    plain = oracle.timeline.deliveries
    wanted = [icount for icount in range(oracle[0].position.icount, last.icount) if not icount % every]
    return [icount if plain.is_plain(icount) else plain.plain_after(icount) for icount in wanted]


async def test_stacks_and_hits(opened: Opened, workload: Path, workload_guest: Path, busy: Oracle) -> None:
    functions = read_program_file(workload_guest).functions
    stretch = f"from {busy[0].position} to {busy[len(busy) - 1].position}"
    async with opened(workload) as user:
        await stacks(user, functions, stretch, busy)
        await who_ran(user, functions, busy)
        copy = user.shell.replay.recording.layout.root
        await hits(user, symbol(workload_guest, "twist").address, busy)
        kept = user.shell.replay.timeline.marks[WHO_RAN]
    recording = Recording.peek(copy)
    reopened = load_timeline(recording)
    assert reopened.marks[WHO_RAN] == kept, "who ran is kept with the recording"
    first = timeline_tracks(recording, reopened).tracks[0]
    assert (first.name, tuple(first.marks)) == (WHO_RAN, kept)


async def stacks(user: User, functions: Functions, stretch: str, busy: Oracle) -> None:
    before = user.position
    *samples, last = await user.results(f"profile {stretch} --every {EVERY}")
    assert user.position == before
    assert [sample.position.icount for sample in samples if isinstance(sample, StackSample)] == places(
        busy, EVERY, busy[len(busy) - 1].position
    )
    for sample in samples:
        assert isinstance(sample, StackSample)
        pc = busy[busy.index(sample.position)].pc
        frame = sample.frames[0]
        assert (frame.address, frame.function) == (pc, name_at(functions, pc))
    assert isinstance(last, Message)
    assert last.text.startswith(f"{len(samples):,} stacks, {EVERY} instructions apart")
    *some, last = await user.results(f"profile twist {stretch} --every {EVERY}")
    inside = [s for s in samples if isinstance(s, StackSample) and any(f.function == "twist" for f in s.frames)]
    assert some == inside
    assert 0 < len(some) < len(samples)
    assert isinstance(last, Message)
    assert f"twist is called in {len(some):,} of them" in last.text
    assert "no symbol" in (await user.refused(f"profile nothing_of_that_name {stretch}")).lower()
    assert "take --every" in await user.refused("profile --every 1")
    assert "--often" in await user.refused("profile --often")


async def who_ran(user: User, functions: Functions, busy: Oracle) -> None:
    start, end = busy[0].position, busy[60].position
    results = await user.results(f"info ran from {start} to {end}")
    expected: list[tuple[int, str]] = []
    for icount in places(busy, spacing(end.icount - start.icount), end):
        name = name_at(functions, busy[busy.index(Position(icount))].pc) or "ring 0"
        if not expected or expected[-1][1] != name:
            expected.append((icount, name))
    marks = user.shell.replay.timeline.marks[WHO_RAN]
    assert [(mark.position.icount, mark.text) for mark in marks] == expected
    assert all(mark.end == following.position for mark, following in pairwise(marks))
    found = [result for result in results if isinstance(result, Found)]
    assert {result.fields["who"] for result in found} == {name for _, name in expected}
    assert sum(float(result.fields["share"]) for result in found) > 0.98
    assert all(result.position.icount in [icount for icount, name in expected] for result in found)
    looks = [look async for look in levels(user.shell.replay, 20, start, end)]
    assert [look.position.icount for look in looks] == places(busy, 20, end)
    assert [look.pc for look in looks] == [busy[busy.index(look.position)].pc for look in looks]
    assert {look.privilege for look in looks} == {"ring 0"}


async def hits(user: User, twist: int, busy: Oracle) -> None:
    """To the hits around a place, whatever breakpoints are set, and without one that is left behind."""
    entries = [busy[index].position for index in busy.hits(twist)]
    await user(f"seek {entries[20]}")
    await user("break fold")
    before = await user("info breakpoints")
    for line, wanted in (
        ("next-hit twist", 21),
        ("next-hit twist", 22),
        ("previous-hit twist", 21),
        ("previous-hit twist", 20),
        ("next-hit twist if value == value", 21),
    ):
        (stopped,) = await user.results(line)
        assert isinstance(stopped, Stopped)
        assert user.position == entries[wanted], line
    assert await user("info breakpoints") == before
    await user("end")
    assert "is not executed after" in await user.refused("next-hit twist")
    await user("start")
    assert "is not executed before" in await user.refused("previous-hit twist")
    assert user.position == Position(0)
