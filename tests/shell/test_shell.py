"""The shell's commands on real guests, its answers held against the forward run."""

from __future__ import annotations

import os
import random
import re
import signal
from pathlib import Path

import pytest

from rrdbg.model.hits.stop import StopReason
from rrdbg.model.results import Changed, Found, Stopped
from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.position import START, Position
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from tests.guests.build import symbol
from tests.oracle import Oracle
from tests.processes import children, qemus_in, qemus_of
from tests.shell.conftest import Opened, User

SEED = 20261125


async def go(user: User, position: Position) -> None:
    await user(f"seek {position}")
    assert user.position == position


def value(raw: bytes) -> int:
    return int.from_bytes(raw, "little")


async def test_from_the_panic_to_its_cause(opened: Opened, heapbug: Path, heapbug_guest: Path) -> None:
    async with opened(heapbug) as user:
        assert "panic_bad_magic (number=" in await user("bt")
        assert "Hardware watchpoint 1: tasks[3].magic" in await user("watch tasks[3].magic")
        shown = await user("rc")
        assert "in log_append (task=" in shown
        assert "task->log[task->log_used] = 0; /* the bug" in shown
        culprit = user.position
        await user("delete")
        await user("end")
        (changed,) = await user.results("last tasks[3].magic")
        assert isinstance(changed, Changed)
        assert (int(changed.before), int(changed.after)) == (0x5461736B4D616769, 0x5461736B4D616700)
        assert user.position == culprit
        function = symbol(heapbug_guest, "log_append")
        assert function.address <= changed.stopped.stop.pc < function.address + function.size
        await user("seek 100")
        assert await user.refused("last tasks[3].magic") == "Nothing has changed tasks[3].magic before 100."
        assert user.position == Position(100)


async def test_last_finds_each_change(opened: Opened, workload: Path, workload_guest: Path, busy: Oracle) -> None:
    counter = symbol(workload_guest, "counter").address
    changes = busy.changes(counter)
    choice = random.Random(SEED)
    async with opened(workload) as user:
        for _ in range(12):
            here = choice.randrange(changes[0] + 1, len(busy))
            await go(user, busy[here].position)
            (changed,) = await user.results("last counter")
            expected = max(index for index in changes if index < here)
            assert isinstance(changed, Changed)
            assert user.position == busy[expected].position
            assert int(changed.before) == value(busy[expected].memory[counter])
            assert int(changed.after) == value(busy[here].memory[counter])


async def test_tprintf_prints_at_each_hit(opened: Opened, workload: Path, workload_guest: Path, busy: Oracle) -> None:
    counter, twist = symbol(workload_guest, "counter").address, symbol(workload_guest, "twist").address
    first, last = busy[0].position, busy[len(busy) - 1].position
    async with opened(workload) as user:
        origin = user.position
        *lines, _ = await user.results(f'tprintf *{twist:#x},"%lu %#lx",counter,$rdi from {first} to {last}')
        assert user.position == origin
        expected = [
            (busy[index].position, f"{value(busy[index].memory[counter])} {busy.registers(index)['rdi']:#x}")
            for index in busy.hits(twist)
        ]
        assert len(expected) > 10
        assert [(line.position, line.text) for line in lines if isinstance(line, Found)] == expected
        by_name = await user.results(f'tprintf twist,"%lu %#lx",counter,value from {first} to {last}')
        assert [line.text for line in by_name[:-1] if isinstance(line, Found)] == [text for _, text in expected]
        assert "print was reached 0 times" in await user('tprintf print,"never so early" to 1000')
        assert "is empty" in await user.refused('tprintf print,"x" from 50% to 10%')
        assert "not defined" in await user.refused('tprintf no_such_function,"x"')
        (at, *_) = await user.results(f'tprintf twist,"%p %p",$sp,$pc from {first} to {last}')
        assert isinstance(at, Found)
        assert at.text == f"{busy.registers(busy.hits(twist)[0])['rsp']:#x} {twist:#x}"
        await go(user, expected[0][0])
        assert "needs a local variable" in await user.refused(f'tprintf *{twist + 4:#x},"%lu",value')


async def test_a_watchpoint_sees_every_change_after_a_jump(
    opened: Opened, workload: Path, workload_guest: Path, busy: Oracle
) -> None:
    """GDB compares a watched value with the last one that it saw, and takes no notice of a jump behind its back."""
    counter = symbol(workload_guest, "counter").address
    changes = busy.changes(counter)
    choice = random.Random(SEED)
    async with opened(workload, at=str(busy[len(busy) - 1].position)) as user:
        await user("watch counter")
        for _ in range(10):
            # The change before `target` leads to the value that GDB saw last, when it stood at `stale`.
            index = choice.randrange(1, len(changes))
            await go(user, busy[changes[index] + 1].position)
            await user("print counter")
            await go(user, busy[changes[index - 1] + 1].position)
            shown = await user("continue")
            assert user.position == busy[changes[index] + 1].position
            new, old = value(busy[changes[index] + 1].memory[counter]), value(busy[changes[index]].memory[counter])
            assert re.search(rf"Old value = {old}\nNew value = {new}$", shown, re.MULTILINE)


async def test_gdbs_movements_and_ours_share_the_cursor(opened: Opened, workload: Path, busy: Oracle) -> None:
    choice = random.Random(SEED)
    async with opened(workload) as user:
        for _ in range(15):
            here, there = choice.randrange(200, len(busy) - 200), choice.randrange(-150, 150)
            await go(user, busy[here].position)
            (stopped,) = await user.results(f"{'stepi' if there > 0 else 'reverse-stepi'} {abs(there) + 1}")
            landed = here + there + (1 if there > 0 else -1)
            assert user.position == busy[landed].position
            assert isinstance(stopped, Stopped)
            assert stopped.stop.pc == busy[landed].pc
            assert int((await user("p/u $rsp")).split()[-1]) == busy.registers(landed)["rsp"]
            await user("stepi")
            assert user.position == busy[landed + 1].position


async def test_places(opened: Opened, workload: Path) -> None:
    async with opened(workload, at="10%") as user:
        places = [user.position]
        for share in (30, 20, 60):
            await user(f"seek {share}%")
            places.append(user.position)
        await user("bookmark far where the road ends")
        await user("back")
        assert user.position == places[2]
        await user("back 2")
        assert user.position == places[0]
        assert "no place to go back" in await user.refused("back")
        assert user.position == places[0]
        await user("forward 3")
        assert user.position == places[3]
        await user("si")
        assert "Checkpoint 1" in await user("checkpoint")
        checkpoint = user.position
        await user("restart")
        assert user.position == START
        await user("restart 1")
        assert user.position == checkpoint
        assert re.search(r"^ +1 +[\d,]+ +60.0%$", await user("info checkpoints"), re.MULTILINE)
        await user("delete checkpoint 1")
        assert "no checkpoint '1'" in await user.refused("restart 1")
        assert re.search(r"^@far +[\d,]+ +60.0% +where the road ends$", await user("info bookmarks"), re.MULTILINE)
        layout = user.shell.replay.recording.layout
    with Recording.open(layout.root) as recording:
        assert load_timeline(recording).bookmarks == {"far": Bookmark(places[3], "where the road ends")}


async def test_nothing_can_be_changed(opened: Opened, heapbug: Path) -> None:
    async with opened(heapbug) as user:
        for line in ("set var rounds = 1", "print rounds = 1", "set var $rax = 1", "call halt()"):
            assert "nothing can be changed; 'monitor what-if on'" in await user.refused(line), line
        before = await user("print rounds")
        assert before.split()[-1] != "1"


async def test_what_if(opened: Opened, heapbug: Path) -> None:
    async with opened(heapbug, at="90%") as user:
        rounds = (await user("print rounds")).split()[-1]
        here = user.position
        await user("what-if on")
        await user("set var rounds = 12345")
        assert (await user("print rounds")).endswith("= 12345")
        await user("stepi")
        await user("stepi 5")
        assert "what-if has been started" in await user.refused("seek 10%")
        await user("what-if off")
        assert user.position == here
        assert (await user("print rounds")).split()[-1] == rounds


async def test_commands_of_several_lines(opened: Opened, workload: Path) -> None:
    async with opened(workload, at="90%") as user:
        assert await user("python\nfor i in range(3):\n    print(i, end=' ')\nend") == "0 1 2 "
        await user("define twice\nstepi\nstepi\nend")
        before = user.position.icount
        await user("twice")
        assert user.position == Position(before + 2)
        await user("break do_round")
        # Commands that set the guest going again: the shell waits for the last stop.
        await user('commands 1\nsilent\nprintf "round %lu\\n", counter\nif counter % 7\ncontinue\nend\nend')
        shown = await user("continue")
        rounds = [int(number) for number in re.findall(r"^round (\d+)$", shown, re.MULTILINE)]
        assert rounds == list(range(rounds[0], rounds[0] + len(rounds)))
        assert rounds[-1] % 7 == 0
        assert int((await user("print counter")).split()[-1]) == rounds[-1]
        assert "No symbol" in await user.refused("python\ngdb.execute('print nothing_like_it')\nend")


async def test_where_output_goes(
    opened: Opened, workload: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with opened(workload, at="90%") as user:
        file = tmp_path / "out"
        await user(f"info registers > {file}")
        assert file.read_text().startswith("rax ")
        await user(f"bt >> {file}")
        assert file.read_text().splitlines()[-1].startswith("#")
        await user("| print counter > 3 | tr 1 y")
        await user("info registers | grep -c rsp")
        await user("!echo from $((40 + 2))")
        assert capfd.readouterr().out == "$y = y\n1\nfrom 42\n"
        assert "Cannot write" in await user.refused("bt > /nowhere/at/all")
        script = tmp_path / "script"
        script.write_text("# both kinds\nseek 30%\npython\nprint('here')\nend\nwhen\n")
        shown = await user(f"source {script}")
        assert "here" in shown
        assert shown.count("(30.0%)") == 2


async def test_help_is_whole(opened: Opened, workload: Path) -> None:
    async with opened(workload) as user:
        shown = await user("help")
        assert "GDB's own commands work, too" in shown
        assert "tprintf" in shown
        assert "Step program until it reaches a different source line" in await user("help step")
        assert "Go to a position" in await user("help seek")
        shown = await user("apropos timeline")
        assert "info timeline" in shown
        assert "Of GDB's" in shown
        assert "Undefined command" in await user.refused("bogus")


async def test_a_qemu_that_dies_is_replaced(opened: Opened, workload: Path, tmp_path: Path) -> None:
    async with opened(workload, at="90%") as user:
        before = user.position
        for pid in qemus_of(os.getpid()):
            os.kill(pid, signal.SIGKILL)
        await user("stepi")
        await user("reverse-stepi")
        assert user.position == before
        assert qemus_in(tmp_path), "a new one"
        assert "counter" in await user("info symbol &counter")


async def test_a_gdb_that_dies_leaves_our_own_commands(opened: Opened, workload: Path) -> None:
    others = set(children(os.getpid(), "gdb"))  # of tests that share one
    async with opened(workload, at="90%") as user:
        (gdb,) = set(children(os.getpid(), "gdb")) - others
        os.kill(gdb, signal.SIGKILL)
        assert "GDB has ended" in await user.refused("bt")
        assert "GDB is gone" in user.noted.errors[0]
        before = user.position
        await user("rsi 10")
        await user("si 10")
        assert user.position == before
        assert "There is no command 'bt'" in await user.refused("bt")


async def test_without_a_gdb(opened: Opened, workload: Path, workload_guest: Path) -> None:
    counter = symbol(workload_guest, "counter").address
    async with opened(workload, at="90%", gdb=False) as user:
        (changed,) = await user.results(f"last *{counter:#x}:8")
        assert isinstance(changed, Changed)
        assert int(changed.before, 16) + 1 == int(changed.after, 16)
        assert changed.stopped.stop.reason is StopReason.TARGET
        fold = symbol(workload_guest, "fold").address
        lines = await user.results(f'tprintf *{fold:#x},"here" from {user.position} to +20,000')
        assert len(lines) > 2
        assert all(line.text == "here" for line in lines if isinstance(line, Found))
        assert "there are no symbols" in await user.refused("last counter")
        assert "A what-if is driven by GDB" in await user.refused("what-if on")
