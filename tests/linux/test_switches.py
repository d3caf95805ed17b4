"""The switches from one task to another, against single steps through the kernel's function that makes them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest

from rrdbg.commands.help import COMMANDS
from rrdbg.commands.session import Session
from rrdbg.engine.linux import switch_survey, switches
from rrdbg.engine.linux.guest import LinuxGuest
from rrdbg.engine.linux.switch_survey import Found
from rrdbg.engine.linux.switches import SwitchFinder, current_task, current_variable
from rrdbg.engine.linux.tasks import running_at
from rrdbg.engine.machines.progress import Progress
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.queries.tracks import timeline_tracks, who_ran
from rrdbg.engine.replay import Replay
from rrdbg.engine.search.survey import Survey
from rrdbg.errors import OutOfRange
from rrdbg.model.hits.stop import Breakpoint
from rrdbg.model.linux.switches import Switch, Switches
from rrdbg.model.linux.task import Task
from rrdbg.model.results import Message, Stopped
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import START, Position
from rrdbg.store.switches_file import load_switches
from tests.linux.asked import printed

pytestmark = [pytest.mark.linux, pytest.mark.timeout(600)]

Stopping = Callable[..., AsyncGenerator[Found, None]]
"""What finds switches with a stop at each."""

_FEW, _MANY = 6, 200
_MOST_STEPS = 400


async def entries_of(replay: Replay, guest: LinuxGuest, start: Position, count: int) -> list[Position]:
    """The beginnings of ``__switch_to`` from ``start`` on, one more than ``count``."""
    kernel = await guest.look()
    assert kernel
    function = Breakpoint(1, kernel.addresses["__switch_to"])
    async with aclosing(replay.scan([function], start, replay.timeline.end)) as hits:
        found: list[Position] = []
        async for hit in hits:
            found.append(hit.position)
            if len(found) > count:
                break
        return found


async def stepped(replay: Replay, entries: Sequence[Position], guest: LinuxGuest) -> list[Switch]:
    """Where after each of ``entries``, beginnings of ``__switch_to``, somebody else runs, step by step."""
    reader = await guest.tasks()

    async def look(walker: Walker) -> list[Switch]:
        machine, found = walker.machine, []
        for entry in entries:
            await walker.arrive(entry)
            variable = await current_variable(machine, reader)
            before = await current_task(machine, variable)
            for _ in range(_MOST_STEPS):
                await walker.step()
                if await current_task(machine, variable) != before:
                    break
            now = await running_at(machine, reader)
            assert now
            assert now.task.address != before, f"nobody else runs after {entry}"
            found.append(Switch(walker.position, now.task))
        return found

    return await replay.visit(entries[0], look)


def found_in(known: Switches, start: Position, end: Position) -> list[Switch]:
    """The switches of the list in a stretch, without those that only go on."""
    return [switch for switch in known.between(start, end) if not switch.goes_on]


async def test_switches_are_those_that_single_steps_find(tasks: Replay) -> None:
    """The first ones of all, where the kernel makes its own threads."""
    guest = LinuxGuest(tasks)
    entries = await entries_of(tasks, guest, START, _FEW)
    expected = await stepped(tasks, entries[:_FEW], guest)
    finder = await guest.switches()
    start, end = entries[0], entries[_FEW]
    known = await finder.ensure(start, end)
    assert found_in(known, start, end) == expected
    assert known.task_at(start), "who runs where the list begins is known, too"
    assert len({switch.task.pid for switch in expected}) > 2

    # The same from the file, and one by one.
    assert load_switches(tasks.recording) == known
    third = expected[2]
    assert await finder.following(expected[1].position) == third
    assert await finder.following(start, str(third.task.pid)) in expected[:3]
    assert finder.known == known, "what is known is not looked for again"
    assert guest.task_at(Position(third.position.icount + 1)) == third.task
    assert guest.task_at(Position(end.icount + 1)) is None
    assert await finder.following_or_first(start, str(third.task.pid)) in expected[:3]
    assert await finder.named_at(third) == third.position
    tracks = timeline_tracks(tasks.recording, tasks.timeline)
    runs = sorted((mark.position, mark.end) for track in tracks.tracks if "[" in track.name for mark in track.marks)
    begun = [switch.position for switch in known.between(start, end)]
    assert [run for run in runs if run[0] < end] == [*pairwise(begun), (begun[-1], end)]
    assert all(track.name.startswith("task ") for track in who_ran(tasks.recording, tasks.timeline))
    session = Session(tasks)
    lines = [f"info {what} from {start} to {end}" for what in ("ran", "switches")]
    answers = [[answer async for answer in COMMANDS.run(session, line)] for line in lines]
    assert answers[0] == answers[1], "of a Linux guest who ran is told by its switches"
    with pytest.raises(OutOfRange, match="no switch to nobody before"):
        await finder.preceding(Position(expected[3].position.icount), "nobody")
    assert await finder.preceding(third.position) == expected[1]


@pytest.fixture(params=["with stops", "by the plugin"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the list is made: with a stop at each switch, or by the plugin after the first one."""
    monkeypatch.setattr(switches, "FEW", 1 << 30 if request.param == "with stops" else 1)
    return str(request.param)


async def anew(replay: Replay, guest: LinuxGuest, start: Position, end: Position) -> Switches:
    """The list of a stretch, as if nothing had been found before."""
    replay.recording.layout.switches.unlink(missing_ok=True)
    return await SwitchFinder(replay, await guest.tasks()).ensure(start, end)


@pytest.mark.matrix
async def test_200_switches_between_programs(tasks: Replay, way: str) -> None:
    """Where programs begin, wait for one another and end, each switch is stepped through."""
    guest = LinuxGuest(tasks)
    entries = await entries_of(tasks, guest, printed(tasks, "tasks: symbols"), _MANY)
    assert len(entries) == _MANY + 1
    expected = await stepped(tasks, entries[:_MANY], guest)
    start, end = entries[0], entries[_MANY]
    known = await anew(tasks, guest, start, end)
    assert (await tasks.accelerator.info()).passes == (way == "by the plugin")
    assert known.covered == ((start, end),)
    assert found_in(known, start, end) == expected
    # Where a switch is, the one before it does not run any more, and runs until then.
    for switch in expected:
        assert known.task_at(switch.position) == switch.task
    assert {"cat", "md5sum"} <= {switch.task.comm for switch in expected}


@pytest.mark.matrix
async def test_the_plugin_finds_what_stops_find(tasks: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a boot, new names included, is the same list in both ways, and no part of the plugin's was in doubt."""
    guest = LinuxGuest(tasks)
    start, end = printed(tasks, "tasks: symbols"), tasks.timeline.end
    monkeypatch.setattr(switches, "FEW", 1 << 30)
    expected = await anew(tasks, guest, start, end)
    assert any(switch.goes_on for switch in expected.switches[1:]), "execve gives a new name"
    monkeypatch.setattr(switches, "FEW", 1)
    monkeypatch.setattr(SwitchFinder, "_stopping", once(SwitchFinder._stopping))
    assert await anew(tasks, guest, start, end) == expected


@pytest.mark.matrix
async def test_a_task_that_ran_before_is_gone_to_with_one_bar(tasks: Replay) -> None:
    """All that is looked through is one piece of work; and there the task has its own name already."""
    tasks.recording.layout.switches.unlink(missing_ok=True)
    here = Position(tasks.timeline.end.icount * 9 // 10)
    await tasks.seek(here)
    told: list[Progress] = []
    tasks.on_progress = told.append
    session = Session(tasks)
    said, stopped = [answer async for answer in COMMANDS.run(session, "seek task cat")]
    assert said == Message(f"cat does not run again after {here}; here it runs first.")
    assert isinstance(stopped, Stopped)
    running = await session.linux.running()
    assert running
    assert running.task.comm == "cat"
    assert tasks.position < printed(tasks, "tasks: symbols")
    searched = [progress for progress in told if progress.whole == max(each.whole for each in told)]
    assert len(searched) > len(told) / 2, "but for going there at the end"
    shares = [progress.share for progress in searched]
    assert shares == sorted(shares)


def once(ways: Stopping) -> Stopping:
    """``ways``, which may be called once: at the beginning of a list, where nobody knows yet how many there are."""
    called: list[Position] = []

    def only_once(
        finder: SwitchFinder, points: Sequence[Breakpoint], note: Any, start: Position, end: Position
    ) -> AsyncGenerator[Found, None]:
        assert not called, f"the plugin was not believed at {start}"
        called.append(start)
        return ways(finder, points, note, start, end)

    return only_once


async def test_a_plugin_that_counts_wrongly_is_not_believed(tasks: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = LinuxGuest(tasks)
    entries = await entries_of(tasks, guest, START, _FEW)
    start, end = entries[0], entries[_FEW]
    expected = await anew(tasks, guest, start, end)
    monkeypatch.setattr(switches, "FEW", 1)
    counts_right = Survey.counts_right
    asked: list[bool] = []

    def wrongly(survey: Survey) -> bool:
        asked.append(counts_right(survey))
        return False

    monkeypatch.setattr(Survey, "counts_right", wrongly)
    assert await anew(tasks, guest, start, end) == expected
    assert asked, "the plugin was asked"
    assert all(asked), "it was right indeed"


async def test_one_fence_in_doubt_ends_the_plugin_for_that_stretch_alone(
    tasks: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = LinuxGuest(tasks)
    entries = await entries_of(tasks, guest, START, _FEW)
    start, end = entries[0], entries[_FEW]
    expected = await anew(tasks, guest, start, end)
    between = [Position(tasks.timeline.deliveries.plain_after(entries[number].icount)) for number in (2, 4)]

    def fences(_: Timeline, start: Position, end: Position) -> Iterator[Position]:
        yield from (fence for fence in (*between, end) if fence > start)

    stretches: list[tuple[Position, Position]] = []
    counts_right, stopping = Survey.counts_right, SwitchFinder._stopping
    asked: list[Position] = []

    def wrong_once(survey: Survey) -> bool:
        asked.append(survey.walker.position)
        return counts_right(survey) and asked != between[:1]

    def noted(
        finder: SwitchFinder, points: Sequence[Breakpoint], note: Any, start: Position, end: Position
    ) -> AsyncGenerator[Found, None]:
        stretches.append((start, end))
        return stopping(finder, points, note, start, end)

    monkeypatch.setattr(switches, "FEW", 1)
    monkeypatch.setattr(switch_survey, "_fences", fences)
    monkeypatch.setattr(Survey, "counts_right", wrong_once)
    monkeypatch.setattr(SwitchFinder, "_stopping", noted)
    assert await anew(tasks, guest, start, end) == expected
    assert asked == [between[0], between[1], end]
    _, (low, high), *left = stretches
    assert low < high == between[0], "what is in doubt is found with stops"
    assert all(low > between[0] for low, _ in left), "and behind it at most a name that is not given by the end"


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
    # Two sessions know different parts; together they know both, and no switch twice.
    one = Switches().added(at(10), at(30), [Switch(at(12), a), Switch(at(25), b)])
    other = Switches().added(at(20), at(50), [Switch(at(20), a, goes_on=True), Switch(at(25), b), Switch(at(41), a)])
    both = Switches().added(at(10), at(50), [Switch(at(12), a), Switch(at(25), b), Switch(at(41), a)])
    assert one.joined(other) == other.joined(one) == both
    assert Switches().joined(one) == one.joined(Switches()) == one.joined(one) == one
