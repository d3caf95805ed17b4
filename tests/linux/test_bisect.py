"""Bisecting one task: the forward run, written down by watchpoints and looked at run by run, says where it turns."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rrdbg.commands.scope import bisection
from rrdbg.commands.session import Session
from rrdbg.engine.queries.bisect import Bisector
from rrdbg.engine.queries.predicates import FormulaPredicate
from rrdbg.engine.replay import Replay
from rrdbg.errors import Undecided, UsageError
from rrdbg.frontends.api import AsyncReplay
from rrdbg.frontends.cli.gdbinit import init_line
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.model.hits.bisection import Judgement, Turn, Verdict
from rrdbg.model.hits.predicate import ByteOrder, Question
from rrdbg.model.program.agent import NeedMemory
from rrdbg.model.results import Found, Message, Stopped
from rrdbg.model.timeline.position import Position
from tests.extension.conftest import output_of
from tests.guests.linux.tasks import Tasks
from tests.linux.asked import answers
from tests.linux.told import Told, told_by

pytestmark = [pytest.mark.linux, pytest.mark.matrix, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class AtLeast:
    """Whether the number at an address is that great."""

    address: int
    least: int
    size: int = 8

    def ask(self, order: ByteOrder) -> Question:
        raw = yield NeedMemory(self.address, self.size)
        assert isinstance(raw, bytes)
        value = int.from_bytes(raw, order)
        return Judgement(Verdict.BAD if value >= self.least else Verdict.GOOD, str(value))


@pytest.fixture
async def session(tasks: Replay) -> AsyncIterator[Session]:
    """The shell's commands on it, with a GDB."""
    async with Debugger.on(tasks, "gdb", None) as debugger:
        session = Session(tasks)
        session.symbols = debugger.symbols
        yield session


@pytest.fixture
def told(tasks: Replay, tasks_guest: Tasks) -> Told:
    return told_by(tasks, tasks_guest)


async def writes(session: Session, address: int, size: int, task: int, told: Told) -> list[Position]:
    """Where the task is about to change what is at ``address``, by a watchpoint."""
    await session.replay.seek(told.start)
    *found, _ = await answers(session, f"writes *{address:#x}:{size} {told.stretch} --task {task}")
    return [each.position for each in found if isinstance(each, Found)]


async def turn(session: Session, least: AtLeast, start: Position, end: Position, task: str) -> Turn:
    """Where it turns true for the task."""
    between, predicate = await bisection(session, FormulaPredicate(least), start, end, task)
    return await Bisector(session.replay, predicate, between).run()


async def test_memory_of_its_own(session: Session, told: Told) -> None:
    """Both processes have a variable at the same address, and have ended, and given it back, before the end."""
    for pid, times in told.wrote.items():
        places = await writes(session, told.victim, 8, pid, told)
        assert len(places) == times
        for number, end in ((2, Position(places[1].icount + 1000)), (3, told.end)):
            place, value = places[number - 1], number * (number + 1) // 2
            found = await turn(session, AtLeast(told.victim, value), told.start, end, str(pid))
            assert (found.before, found.position) == (place, Position(place.icount + 1)), number
            assert (found.elsewhere, found.skipped, found.new) == (False, 0, str(value))
    # In the shell, compiled by GDB, and as a setting.
    pid, places = min(told.wrote), await writes(session, told.victim, 8, min(told.wrote), told)
    for line, before in (
        (f"bisect *(long*){told.victim:#x} > 3 {told.stretch} --task {pid}", ()),
        (f"bisect *(long*){told.victim:#x} > 3 {told.stretch}", (f"task-scope {pid}",)),
    ):
        for each in before:
            await answers(session, each)
        message, _, stopped = await answers(session, line)
        assert isinstance(message, Message)
        assert f"holds for the first time in task {pid} (" in message.text
        assert isinstance(stopped, Stopped)
        assert stopped.stop.position == places[2]
    await answers(session, "task-scope all")


async def test_what_others_do_while_it_does_not_run(session: Session, told: Told) -> None:
    """A child's end, which the child comes to itself, and its parent finds when it runs again."""
    parent, child = sorted(told.wrote)
    kernel = await session.linux.look()
    assert kernel
    runs = {pid: await session.linux.runs_of(str(pid), told.start, told.end) for pid in (parent, child)}
    task = session.linux.task_at(runs[child].stretches[0][0])
    assert task
    state = task.address + kernel.offsets["task_struct.exit_state"]
    (ended, *_) = await writes(session, state, 4, child, told)
    found = await turn(session, AtLeast(state, 1, 4), runs[child].stretches[0][0], told.end, str(child))
    assert (found.before, found.elsewhere) == (ended, False)

    after = runs[parent].at_or_after(ended)
    before = runs[parent].last_before(ended)
    assert after
    assert before
    # Before fork there was another task's end in the same memory.
    forked = runs[parent].last_before(runs[child].stretches[0][0])
    assert forked
    start, end = Position(forked.icount - 1000), Position(after.icount + 1000)
    found = await turn(session, AtLeast(state, 1, 4), start, end, str(parent))
    assert (found.position, found.elsewhere, found.place) == (after, True, after)
    assert runs[parent].instructions(before, found.before) <= 1, "the last instruction of the run before"
    # So the single steps of the parent's say: at the first position of this run, and at the last of the one before.
    for position, holds in ((found.before, False), (found.position, True)):
        await session.replay.seek(position)
        assert (await session.replay.read_memory(state, 1) != b"\0") == holds


async def test_in_each_front_end(session: Session, told: Told, tasks_recording: Path, tmp_path: Path) -> None:
    """The command line, which ends at the recording's end, where the task is no more; the API; a GDB of one's own."""
    pid = min(told.wrote)
    place = (await writes(session, told.victim, 8, pid, told))[1]
    words = ("--task", str(pid), "--good", str(told.start.icount), "--no-gdb", "--json")
    log = tmp_path / "log"
    done = await rrdbg_says(
        "bisect", str(tasks_recording), "--memory", f"{told.victim:#x}:8==0x3", *words, "--log", str(log),
        "--bad", str(place.icount + 100),
    )  # fmt: skip
    *_, found = map(json.loads, done)
    assert (found["kind"], found["before"]["icount"], found["elsewhere"]) == ("turn", place.icount, False)
    refused = await rrdbg_says("bisect", "--resume", str(log), "--task", str(pid + 1), status=2)
    assert "no other predicate or --task" in refused[0]
    (*_, again) = map(json.loads, await rrdbg_says("bisect", "--resume", str(log), "--no-gdb", "--json"))
    assert again["before"] == found["before"], "the log knows the task"

    async with await AsyncReplay.open(tasks_recording) as replay:
        await replay.keep_to_task(pid)
        change = await replay.bisect(f"*(long *){told.victim:#x} >= 3", told.start)
        assert (change.position, change.before, change.after, change.cause) == (place, 0, 1, "")

    head = f"set remotetimeout 60\n{init_line()}\nrrdbg open {tasks_recording}\n"
    script = f"{head}rrdbg bisect *(long *){told.victim:#x} >= 3 {told.stretch} --task {pid}\nrrdbg when\n"
    lines = await output_of("gdb", script=script, folder=tmp_path)
    assert any(f"{place} (" in line for line in lines), lines


async def test_scan_lists_what_the_task_finds_changed(session: Session, told: Told, tasks_recording: Path) -> None:
    """Its own memory at its own writes alone; and an end that others have brought about where it goes on."""
    common = ("--scan", "--no-gdb", "--json", "--good", str(told.start.icount))
    for pid, times in told.wrote.items():
        places = await writes(session, told.victim, 8, pid, told)
        assert len(places) == times
        lines = await rrdbg_says(
            "bisect", str(tasks_recording), "--memory", f"{told.victim:#x}:8==0x3", "--task", str(pid), *common
        )
        found = [json.loads(line) for line in lines]
        assert [each["position"]["icount"] for each in found] == [place.icount + 1 for place in places], pid
        assert [each["holds"] for each in found] == [number == 2 for number in range(1, times + 1)]


async def rrdbg_says(*words: str, status: int = 0) -> list[str]:
    """The lines that a process of rrdbg's prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rrdbg", *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await asyncio.wait_for(process.communicate(), 300)
    assert process.returncode == status, errors.decode()
    return (errors if status else output).decode().splitlines()


async def test_what_cannot_be_asked(session: Session, told: Told) -> None:
    with pytest.raises(UsageError, match="No task nobody runs between"):
        await turn(session, AtLeast(told.victim, 1), told.start, told.end, "nobody")
    with pytest.raises(UsageError, match="must lie before the bad one"):
        await turn(session, AtLeast(told.victim, 1), told.end, told.start, "witness")
    with pytest.raises(Undecided, match=r"(it|swapper/0) has no memory of its own"):
        await turn(session, AtLeast(told.victim, 1), told.start, told.end, "swapper/0")
