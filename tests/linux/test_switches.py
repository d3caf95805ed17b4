"""The switches from one task to another, against single steps through the kernel's function that makes them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rrdbg.engine.linux.guest import LinuxGuest
from rrdbg.engine.linux.tasks import running_at
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.queries.tracks import timeline_tracks
from rrdbg.engine.replay import Replay
from rrdbg.errors import OutOfRange
from rrdbg.model.hits.stop import Breakpoint
from rrdbg.model.linux.switches import Switch, Switches
from rrdbg.model.linux.task import Task
from rrdbg.model.timeline.position import START, Position
from rrdbg.store.switches_file import load_switches

pytestmark = [pytest.mark.linux, pytest.mark.matrix, pytest.mark.timeout(600)]

_COUNT = 6
_MOST_STEPS = 400


async def stepped(replay: Replay, entry: Position, guest: LinuxGuest) -> Switch:
    """Where after ``entry``, the beginning of ``__switch_to``, somebody else runs, step by step."""
    reader = await guest.tasks()

    async def look(walker: Walker) -> Switch:
        await walker.arrive(entry)
        before = await running_at(walker.machine, reader)
        assert before
        for _ in range(_MOST_STEPS):
            await walker.step()
            now = await running_at(walker.machine, reader)
            assert now
            if now.task.address != before.task.address:
                return Switch(walker.position, now.task)
        raise AssertionError(f"nobody else runs after {entry}")

    return await replay.visit(entry, look)


async def test_switches_are_those_that_single_steps_find(tasks: Replay) -> None:
    guest = LinuxGuest(tasks)
    kernel = await guest.look()
    assert kernel
    entries: list[Position] = []
    function = Breakpoint(1, kernel.addresses["__switch_to"])
    hits = tasks.scan([function], START, tasks.timeline.end)
    async for hit in hits:
        entries.append(hit.position)
        if len(entries) > _COUNT:
            break
    await hits.aclose()
    expected = [await stepped(tasks, entry, guest) for entry in entries[:_COUNT]]
    finder = await guest.switches()
    start, end = entries[0], entries[_COUNT]
    known = await finder.ensure(start, end)
    assert [switch for switch in known.switches if not switch.goes_on] == expected
    first = known.switches[0]
    assert (first.position, first.goes_on) == (start, True), "who runs where the list begins is known, too"
    assert len({switch.task.pid for switch in expected}) > 2

    # The same from the file, and one by one.
    assert load_switches(tasks.recording) == known
    third = expected[2]
    assert await finder.following(expected[1].position) == third
    assert await finder.following(start, str(third.task.pid)) in expected[:3]
    assert finder.known == known, "what is known is not looked for again"
    assert guest.task_at(Position(third.position.icount + 1)) == third.task
    assert guest.task_at(Position(end.icount + 1)) is None
    tracks = timeline_tracks(tasks.recording, tasks.timeline)
    runs = sorted((mark.position, mark.end) for track in tracks.tracks if "[" in track.name for mark in track.marks)
    places = [switch.position for switch in expected]
    begun = [switch.position for switch in known.switches]
    assert set(places) <= set(begun)
    assert runs == [*pairwise(begun), (begun[-1], end)]
    with pytest.raises(OutOfRange, match="no switch to nobody before"):
        await finder.preceding(Position(expected[3].position.icount), "nobody")
    assert await finder.preceding(third.position) == expected[1]


def test_what_is_missing_and_what_is_known() -> None:
    def at(icount: int) -> Position:
        return Position(icount)

    a, b = Task(1, 1, "a", 0x1000), Task(2, 2, "b", 0x2000)
    assert not list(Switches().runs())
    assert Switches().summary(at(0), at(9)) == []
    known = Switches().added(at(10), at(20), [Switch(at(12), a), Switch(at(15), b)])
    known = known.added(at(30), at(40), [Switch(at(35), a)])
    assert known.missing(at(0), at(50)) == [(at(0), at(10)), (at(20), at(30)), (at(40), at(50))]
    assert known.missing(at(11), at(19)) == []
    assert [known.task_at(at(icount)) for icount in (11, 12, 16, 25, 31, 36, 40)] == [None, a, b, None, None, a, None]
    whole = known.added(at(20), at(30), [])
    assert whole.covered == ((at(10), at(40)),)
    assert whole.task_at(at(25)) == b
    ran = whole.summary(at(10), at(40))
    assert [(each.task, each.times, each.instructions) for each in ran] == [(b, 1, 20), (a, 2, 8)]
    # Where a list begins somebody runs already: that is told, until what comes before is known.
    begun = Switches().added(at(20), at(30), [Switch(at(20), b, goes_on=True), Switch(at(24), a)])
    assert [begun.task_at(at(icount)) for icount in (20, 24)] == [b, a]
    joined = begun.added(at(10), at(20), [Switch(at(12), b)])
    assert [switch.position for switch in joined.switches] == [at(12), at(24)]
    assert joined.covered == ((at(10), at(30)),)
