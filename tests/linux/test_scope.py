"""One task alone: the guest's two processes have told how often each of them has written to the same address."""

from __future__ import annotations

import itertools
import re

import pytest

from rrdbg.commands.session import Session
from rrdbg.engine.linux.guest import LinuxGuest
from rrdbg.engine.linux.syscalls import syscalls
from rrdbg.engine.replay import Replay
from rrdbg.errors import OutOfRange, UsageError
from rrdbg.model.hits.stop import Breakpoint, Hit, Watchpoint
from rrdbg.model.hits.task_runs import TaskRuns
from rrdbg.model.program.scope import has_scope, read_task
from rrdbg.model.results import Changed, Found, Message, Stopped
from rrdbg.model.timeline.position import START, Position
from tests.guests.build import symbol
from tests.guests.linux.tasks import Tasks
from tests.linux.asked import answers, console_of, printed

pytestmark = [pytest.mark.matrix, pytest.mark.linux, pytest.mark.timeout(600)]

_MAIN = re.compile(r"witness: main (0x[0-9a-f]+)")
_WROTE = re.compile(r"witness: (\d+) wrote (\d+) times")


async def test_what_one_task_alone_has_done(tasks: Replay, tasks_guest: Tasks) -> None:
    text = console_of(tasks.recording.layout.root)
    told = _MAIN.search(text)
    assert told
    moved = int(told[1], 16) - symbol(tasks_guest.program, "main").address
    victim, work = (symbol(tasks_guest.program, name).address + moved for name in ("victim", "work"))
    wrote = {int(pid): int(times) for pid, times in _WROTE.findall(text)}
    assert sorted(wrote.values()) == [3, 5]
    parent, child = sorted(wrote)
    start, end = printed(tasks, "witness: main"), max(printed(tasks, f"wrote {times} times") for times in (3, 5))
    stretch = f"from {start.icount} to {end.icount}"
    await tasks.seek(start)
    session = Session(tasks)
    guest = session.linux

    # Writes to the same virtual address, in whatever address space: by number, by both of the same name.
    places: dict[int, list[Position]] = {}
    for pid, times in wrote.items():
        *found, _ = await answers(session, f"writes *{victim:#x}:8 {stretch} --task {pid}")
        assert len(found) == times
        places[pid] = [each.position for each in found if isinstance(each, Found)]
    *found, _ = await answers(session, f"writes *{victim:#x}:8 --task witness {stretch}")
    assert [each.position for each in found if isinstance(each, Found)] == sorted(itertools.chain(*places.values()))
    assert [each.fields["pid"] for each in found if isinstance(each, Found)].count(str(child)) == wrote[child]

    # Where code is executed: counted, gone to, stopped at.
    for pid in (parent, child):
        (counted,) = await answers(session, f"count *{work:#x} {stretch} --task {pid}")
        assert isinstance(counted, Message)
        assert "is executed once in task" in counted.text or "1 time in task" in counted.text, counted.text
    (stopped,) = await answers(session, f"nth 2 *{work:#x} {stretch} --task witness")
    assert isinstance(stopped, Stopped)
    await tasks.seek(start)
    await answers(session, f"break *{work:#x} --task {child}")
    await answers(session, f"watch *{victim:#x}:8 --task {child}")
    for expected in ("breakpoint", "watchpoint", "watchpoint"):
        (stopped,) = await answers(session, "continue")
        assert isinstance(stopped, Stopped)
        assert stopped.stop.reason == expected
        running = await guest.running()
        assert running
        assert running.task.pid == child
    assert tasks.position == Position(places[child][1].icount + 1)
    (stopped,) = await answers(session, "reverse-continue")
    assert isinstance(stopped, Stopped)
    assert stopped.stop.position == places[child][1]
    tasks.points.delete()

    # The last write, and none before the process has begun.
    await tasks.seek(end)
    changed, *_ = await answers(session, f"last *{victim:#x}:8 --task {child}")
    assert isinstance(changed, Changed)
    assert changed.stopped.stop.position == places[child][-1]
    await tasks.seek(places[child][0])
    with pytest.raises(OutOfRange, match=rf"Nothing has changed .* in task {child}\."):
        await answers(session, f"last *{victim:#x}:8 --task {child}")
    with pytest.raises(UsageError, match="No task nobody runs between"):
        await answers(session, f"last *{victim:#x}:8 --task nobody")
    with pytest.raises(UsageError, match="leave --everywhere out"):
        await answers(session, f"last *{victim:#x}:8 --everywhere --task {child}")

    # As a setting, for all that is set and asked, until it is taken back.
    await tasks.seek(start)
    await answers(session, f"task-scope {child}")
    tasks.points.add_breakpoint(work)
    (stopped,) = await answers(session, "continue")
    running = await guest.running()
    assert running
    assert running.task.pid == child
    *found, _ = await answers(session, f"writes *{victim:#x}:8 {stretch}")
    assert len(found) == wrote[child]
    await answers(session, "task-scope all")
    tasks.points.delete()


async def test_a_program_is_called_by_its_own_name_from_execve_on(tasks: Replay) -> None:
    """Who makes a system call is read from memory there; the list must say the same."""
    guest = LinuxGuest(tasks)
    finder = await guest.switches()
    named = await finder.following(START, "witness")
    assert named.goes_on, "it was running already, as what has called execve"
    low, high = Position(named.position.icount - 600_000), Position(named.position.icount + 1_000_000)
    await finder.ensure(low, high)
    found = [call async for call in syscalls(tasks, await guest.tasks(), low, high)]
    execve = next(call for call in found if call.name == "execve")
    names = set[str]()
    for call in found:
        task = guest.task_at(call.position)
        assert task
        # The kernel gives the name on the way through execve.
        assert (task.pid, task.comm) == (call.task.pid, call.task.comm), call
        names.add(task.comm)
    assert {"init", "witness"} <= names
    assert execve.task.comm == "init"


def test_runs_hold_what_begins_and_what_ends_in_them() -> None:
    def at(icount: int) -> Position:
        return Position(icount)

    runs = TaskRuns("sh", ((at(10), at(20)), (at(30), at(40))))
    assert [icount for icount in range(50) if runs.begins_at(at(icount))] == [*range(10, 20), *range(30, 40)]
    assert [icount for icount in range(50) if runs.ends_at(at(icount))] == [*range(11, 21), *range(31, 41)]
    for start, end, expected in (
        (0, 50, (10, 40)),
        (15, 35, (15, 35)),
        (22, 28, None),
        (0, 12, (10, 12)),
        (41, 50, None),
    ):
        low, high = runs.within(at(start), at(end))
        assert (low, high) == tuple(map(at, expected)) if expected else low >= high
    point, watched = Breakpoint(1, 0x1000, task=runs), Watchpoint(2, 0x2000, 8, task=runs)
    assert [Hit(at(icount), 0, point).belongs for icount in (10, 20)] == [True, False]
    assert [Hit(at(icount), 0, watched).belongs for icount in (10, 20)] == [False, True]


@pytest.mark.parametrize(
    ("text", "rest", "task"),
    [
        ("victim --task sh", "victim", "sh"),
        ("--task 42 victim", "victim", "42"),
        ("victim --task sh from 50% to end", "victim from 50% to end", "sh"),
        ("victim from 50% --task sh --physical", "victim from 50% --physical", "sh"),
        ("schedule --task sh --every 1000 from 50%", "schedule --every 1000 from 50%", "sh"),
        ('victim --task "Web Content"', "victim", "Web Content"),
        ('f,"--task sh" ', 'f,"--task sh" ', ""),
        ("a --task", "a --task", ""),
        ("--task sh", "", "sh"),
    ],
)
def test_the_task_stands_before_or_behind(text: str, rest: str, task: str) -> None:
    assert read_task(text) == (rest, task)
    assert has_scope(text) == bool(task)
