"""``--task`` of each command that has it, in the shell, on the command line and in a GDB of one's own.

How often each of the guest's two processes has done what is asked for it has told itself. Bisects are in test_bisect.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rrdbg.commands.session import Session
from rrdbg.engine.replay import Replay
from rrdbg.frontends.cli.gdbinit import init_line
from rrdbg.model.results import Changed, Found, Message, StackSample, Stopped
from tests.cli.conftest import Cli
from tests.extension.conftest import output_of
from tests.guests.linux.tasks import Tasks
from tests.linux.asked import answers, printed
from tests.linux.told import Told, told_by

pytestmark = [pytest.mark.matrix, pytest.mark.linux, pytest.mark.timeout(900)]

_EVERY = 1000


@pytest.fixture
def told(tasks: Replay, tasks_guest: Tasks) -> Told:
    return told_by(tasks, tasks_guest)


def listing(told: Told, pid: int) -> dict[str, int]:
    """Commands that list, and how many lines each has for the process."""
    return {
        f"writes *{told.victim:#x}:8 {told.stretch} --task {pid}": told.wrote[pid],
        f"calls *{told.work:#x} {told.stretch} --task {pid}": 1,
        f'tprintf *{told.work:#x},"begins" {told.stretch} --task {pid}': 1,
    }


async def test_in_the_shell(tasks: Replay, told: Told) -> None:
    session = Session(tasks)
    for pid in told.wrote:
        await tasks.seek(told.start)
        for line, expected in listing(told, pid).items():
            found = [each for each in await answers(session, line) if isinstance(each, Found)]
            assert [each.fields["pid"] for each in found] == [str(pid)] * expected, line
        (counted,) = await answers(session, f"count *{told.work:#x} {told.stretch} --task {pid}")
        assert isinstance(counted, Message)
        assert f" in task {pid}" in counted.text
        await profiled(session, told, pid)
        await tasks.seek(told.end)
        changed, *_ = await answers(session, f"last *{told.victim:#x}:8 --task {pid}")
        assert isinstance(changed, Changed)
        assert int(changed.after, 0) == sum(range(told.wrote[pid] + 1))
        await tasks.seek(told.start)
        for line in (f"break *{told.work:#x} --task {pid}", f"watch *{told.victim:#x}:8 --task {pid}"):
            await answers(session, line)
            (stopped,) = await answers(session, "continue")
            assert isinstance(stopped, Stopped)
            assert stopped.running
            assert stopped.running.task.pid == pid
            tasks.points.delete()


async def profiled(session: Session, told: Told, pid: int) -> None:
    """Stacks of one task are those of all at the places where it runs, by ``--task`` and after ``task-scope``."""
    start = printed(session.replay, "witness: getppid")
    stretch = f"from {start.icount} to {start.icount + 600_000} --every {_EVERY}"
    every = [each for each in await answers(session, f"profile {stretch}") if isinstance(each, StackSample)]
    own = [each for each in every if each.running and each.running.task.pid == pid]
    assert 0 < len(own) < len(every)
    *found, last = await answers(session, f"profile {stretch} --task {pid}")
    assert found == own
    assert isinstance(last, Message)
    assert f" in task {pid}." in last.text
    await answers(session, f"task-scope {pid}")
    assert (await answers(session, f"profile {stretch}"))[:-1] == own
    await answers(session, "task-scope all")


def test_on_the_command_line(tasks: Replay, told: Told, tmp_path: Path) -> None:
    recording, cli = tasks.recording.layout.root, Cli(tmp_path / "library")
    pid = min(told.wrote)
    lines = listing(told, pid)
    words = [word for line in lines for word in ("-ex", line)]
    done = cli("replay", str(recording), "--no-gdb", "--batch", "--json", "--at", str(told.start.icount), *words)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    told_of = [each["fields"]["pid"] for each in found if each["kind"] == "found"]
    assert told_of == [str(pid)] * sum(lines.values())
    stretch = ("--from", str(told.start.icount), "--to", str(told.end.icount))
    done = cli("profile", str(recording), "--task", str(pid), "--every", str(_EVERY), "--json", *stretch)
    samples = [json.loads(line) for line in done.stdout.splitlines()]
    assert samples
    assert {each["running"]["task"]["pid"] for each in samples} == {pid}
    assert "--task NAME|PID" in cli("profile", "--help").stdout
    refused = cli("profile", str(recording), "--task", "nobody", *stretch, check=2)
    assert "No task nobody runs between" in refused.stderr


async def test_in_a_gdb_of_ones_own(tasks: Replay, told: Told, tmp_path: Path) -> None:
    """rrdbg's commands by their option, GDB's own by the setting, and a condition by the convenience function."""
    pid, other = min(told.wrote), max(told.wrote)
    lines = [f"echo {number}:\\n\nrrdbg {line}\n" for number, line in enumerate(listing(told, pid))]
    count = f"echo count:\\n\nrrdbg count *{told.work:#x} {told.stretch} --task {pid}\n"
    stacks = f"echo profile:\\n\nrrdbg profile from {told.start.icount} --every {_EVERY} --task {pid}\n"
    seek = f"rrdbg seek {told.start.icount}\n"
    who = f'print $rr_in_task("{other}")\n'
    script = (
        f"set remotetimeout 60\n{init_line()}\nrrdbg open {tasks.recording.layout.root}\n{seek}{''.join(lines)}{count}"
        f"{stacks}echo own:\\n\nset rrdbg task {other}\nbreak *{told.work:#x}\ncontinue\n{who}delete\n{seek}"
        f"watch *(long *) {told.victim:#x}\ncontinue\n{who}delete\n{seek}set rrdbg task all\n"
        f'break *{told.work:#x} if $rr_in_task("{other}")\ncontinue\n{who}'
    )
    shown = "\n".join(await output_of("gdb", script=script, folder=tmp_path))
    parts = re.split(r"^(?:\d|count|profile|own):$", shown, flags=re.MULTILINE)
    for expected, part in zip(listing(told, pid).values(), parts[1:4], strict=True):
        found = re.findall(r"^@\d+ .*$", part, re.MULTILINE)
        assert len(found) == expected, part
        assert all(f"[{pid}]" in line for line in found), part
    assert f" in task {pid}" in parts[4]
    assert f" in task {pid}." in parts[5]
    assert re.findall(r"^\$\d = (\d)$", parts[6], re.MULTILINE) == ["1", "1", "1"], parts[6]
