"""``rrdbg bisect`` as a user runs it: each predicate, exit statuses, logs, Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import textwrap
from pathlib import Path
from typing import Any

import pytest

import rrdbg
from tests.cli.conftest import Cli, bare_metal, nobodys_state
from tests.cli.test_record import wait_until
from tests.guests.build import symbol
from tests.oracle import observe
from tests.processes import qemus_in

GOOD, BAD = "6967614d6b736154", "0067614d6b736154"


@pytest.fixture(scope="module")
def magic(heapbug_guest: Path) -> int:
    """The address of tasks[3].magic."""
    tasks = symbol(heapbug_guest, "tasks")
    return tasks.address + tasks.size // 2


@pytest.fixture(scope="module")
def turned(heapbug_recording: Path, magic: int) -> int:
    """The icount just behind the write that overwrites the magic number, found by a watchpoint."""
    with rrdbg.open(heapbug_recording, gdb=None) as replay:
        *_, hit = replay.writes(magic, 8)
        return hit.position.icount + 1


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def executable(path: Path, text: str) -> Path:
    path.write_text(textwrap.dedent(text).lstrip())
    path.chmod(0o755)
    return path


def test_an_expression(cli: Cli, copied: Path, magic: int) -> None:
    done = cli("bisect", str(copied), "--expr", "tasks[3].magic == 0x5461736b4d616700")
    assert " is the first position where 'tasks[3].magic == 0x5461736b4d616700' holds." in done.stdout
    assert "movb" in done.stdout
    assert "Old value = 6080267876623804265\n  New value = 6080267876623804160" in done.stdout
    assert "task->log[task->log_used] = 0; /* the bug" in done.stdout
    assert "in schedule () at heapbug/heapbug.c:90" in done.stdout, "there is a backtrace"
    assert "Bisecting 8," in done.stderr
    icount = int(done.stdout.split()[0].replace(",", ""))
    near = asyncio.run(observe(copied, icount - 1, 2, {magic: 8}))
    assert [entry.memory[magic].hex() for entry in near.entries[:2]] == [GOOD, BAD]


def test_memory_without_a_gdb_as_json(cli: Cli, copied: Path, magic: int, turned: int) -> None:
    done = cli("bisect", str(copied), "--memory", f"{magic:#x}:8=={BAD}", "--json", "--no-gdb")
    *probes, turn = lines(done.stdout)
    assert {probe["kind"] for probe in probes} == {"probe"}
    assert len(probes) == turn["probes"]
    assert (turn["kind"], turn["position"], turn["before"]["icount"]) == (
        "turn", {"icount": turned, "phase": 0}, turned - 1,
    )  # fmt: skip
    assert (turn["old"], turn["new"], turn["function"], turn["backtrace"]) == (GOOD, BAD, None, [])
    assert not done.stderr


def test_a_copy_of_ones_own_is_ones_own(cli: Cli, tmp_path: Path, heapbug_guest: Path, magic: int) -> None:
    """Snapshots and hits are known by what is in them: nothing is said of a copy, and nothing is made again."""
    own, copy = tmp_path / "own", tmp_path / "copy"
    cli("record", "--no-check", "-o", str(own), "--until-console", "PANIC", "--", *bare_metal(heapbug_guest))
    cli.replay(own, "seek 50%", "snapshot half")
    asked = ("--memory", f"{magic:#x}:8=={BAD}", "--json", "--no-gdb")
    first = cli("bisect", str(own), *asked)
    shutil.copytree(own, copy, copy_function=shutil.copyfile)
    again = cli("bisect", str(copy), *asked)
    assert not again.stderr
    assert lines(again.stdout)[-1]["position"] == lines(first.stdout)[-1]["position"]
    there = {path.name for path in own.glob("snapshots/*")}
    assert len(there) > 1
    assert {path.name for path in copy.glob("snapshots/*")} >= there
    # To somebody else it says so, once.
    said = cli("bisect", str(copy), *asked, XDG_STATE_HOME=nobodys_state(tmp_path)).stderr
    assert "not made here" in said
    assert not cli("bisect", str(copy), *asked, XDG_STATE_HOME=nobodys_state(tmp_path)).stderr


def test_locals_are_judged_by_gdb(cli: Cli, copied: Path, turned: int) -> None:
    done = cli(
        "bisect",
        str(copied),
        "--expr",
        "task->log_used == 32",
        "--good",
        str(turned - 30),
        "--bad",
        str(turned),
        "--json",
    )
    assert lines(done.stdout)[-1]["new"] == "32"


@pytest.mark.parametrize("wrong", ["nonsense == 1", "tasks[3].bogus > 1", "rounds >"])
def test_an_expression_that_is_wrong(cli: Cli, copied: Path, wrong: str) -> None:
    """It is not the recording that has no answer: the request is at fault."""
    for words in ([], ["--scan", "--good", "99.99%"]):
        done = cli("bisect", str(copied), "--expr", wrong, *words, check=2)
        assert f"The expression '{wrong}' is wrong, or has no value there: " in done.stderr
    done = cli("replay", str(copied), "--batch", "-ex", f"bisect {wrong}", check=2)
    assert "is wrong" in done.stdout + done.stderr


def test_the_console(cli: Cli, copied: Path) -> None:
    done = cli("bisect", str(copied), "--console", "PANIC", "-q")
    assert "is the first position where the console has printed 'PANIC'" in done.stdout
    assert "print_char" in done.stdout
    assert "never prints 'nonsense'" in cli("bisect", str(copied), "--console", "nonsense", check=1).stderr


def test_python(cli: Cli, copied: Path, turned: int, tmp_path: Path) -> None:
    script = executable(
        tmp_path / "predicate.py",
        """
        import rrdbg


        def overwritten(replay):
            if replay.position.icount % 5 == 1:
                raise rrdbg.Skip("every fifth")
            holds = replay.eval("tasks[3].magic & 0xff") == 0
            for hit in replay.hits("schedule", start="90%"):
                replay.seek(hit.position)
                break
            return holds
        """,
    )
    done = cli(
        "bisect", str(copied), "--python", f"{script}:overwritten", "--json", "--checks", "0",
        "--good", str(turned // 10 * 10 - 40), "--bad", str(turned // 10 * 10 + 40), check=None,
    )  # fmt: skip
    turn = lines(done.stdout)[-1]
    assert done.returncode == (3 if turn["skipped"] else 0)
    assert turn["position"]["icount"] - turn["skipped"] <= turned <= turn["position"]["icount"]
    assert turn["skipped"] == (turned % 5 in (1, 2)), "the position itself, or the one before it, is a fifth one"


def test_python_that_fails(cli: Cli, heapbug_recording: Path, tmp_path: Path) -> None:
    script = tmp_path / "predicates.py"
    script.write_text(
        "def failing(replay):\n    return 1 // 0\n\n\ndef refused(replay):\n    return replay.eval('nonsense')\n\n\n"
        "def endless(replay):\n    while True:\n        replay.registers()\n"
    )

    def told(function: str, check: int, *words: str) -> str:
        return cli("bisect", str(heapbug_recording), "--python", function, *words, check=check).stderr

    assert f"failed at 0: ZeroDivisionError: integer division or modulo by zero ({script}:2)" in told(
        f"{script}:failing", 1
    )
    assert 'No symbol "nonsense"' in told(f"{script}:refused", 1)
    assert "cannot be judged (no answer in 0.5 s)" in told(f"{script}:endless", 3, "--timeout", "0.5")
    assert "names no Python function" in told("nowhere.py:f", 2)
    assert "has no function 'nothing'" in told(f"{script}:nothing", 2)
    script.write_text("import nothing_like_that\n")
    assert "cannot be loaded: ModuleNotFoundError" in told(f"{script}:f", 2)


def test_a_command(cli: Cli, copied: Path, turned: int, tmp_path: Path) -> None:
    """A script that asks a GDB of its own, and one that only looks at the position."""
    script = executable(
        tmp_path / "check.sh",
        """
        #!/bin/sh
        test -d "$RRDBG_RECORDING" || exit 127
        echo "probe $RRDBG_PROBE at $RRDBG_POSITION of $RRDBG_END, $1"
        gdb -nx -batch -ex "file $RRDBG_SYMBOLS" -ex "target remote $RRDBG_GDB" \\
            -ex "set \\$bad = tasks[3].magic == 0x5461736b4d616700" -ex "continue" -ex "quit \\$bad"
        """,
    )
    done = cli(
        "bisect",
        str(copied),
        "--json",
        "--good",
        str(turned - 20),
        "--bad",
        str(turned + 20),
        "--run",
        str(script),
        "one two",
    )
    turn = lines(done.stdout)[-1]
    assert (turn["position"]["icount"], turn["old"], turn["new"]) == (turned, "exit status 0", "exit status 1")
    simple = executable(
        tmp_path / "simple.sh", f'#!/bin/sh\necho "at $RRDBG_ICOUNT $1"\n[ "$RRDBG_ICOUNT" -lt {turned} ]\n'
    )
    done = cli("bisect", str(copied), "--no-gdb", "--run", str(simple), "--json")
    assert f"{turned:,} (" in done.stdout
    assert "at 0 --json\n" in done.stderr, "all that follows is the command's"


def test_statuses_of_a_command(cli: Cli, copied: Path, tmp_path: Path) -> None:
    def told(body: str, check: int, *words: str) -> str:
        script = executable(tmp_path / "check.sh", f"#!/bin/sh\n{body}\n")
        return cli("bisect", str(copied), "--no-gdb", *words, "--run", str(script), check=check).stderr

    assert "ended with status 127 at 0, which ends the bisect" in told("exit 127", 1)
    assert "was ended by SIGKILL at 0" in told("kill -9 $$", 1)
    assert "At 0 the predicate cannot be judged (exit status 125)" in told("exit 125", 3)
    assert "At 0, the good end, the predicate holds already (exit status 124)" in told("exit 124", 3)
    assert "cannot be judged (no answer in 0.3 s)" in told("sleep 1000", 3, "--timeout", "0.3")
    dark = executable(
        tmp_path / "dark.sh",
        """
        #!/bin/sh
        [ $RRDBG_ICOUNT -le 1030 ] && exit 0
        [ $RRDBG_ICOUNT -ge 1034 ] && exit 1
        exit 125
        """,
    )
    assert "it may be any of them" in cli(
        "bisect", str(copied), "--no-gdb", "--good", "1000", "--bad", "1064", "--run",
        str(dark), check=3,
    ).stdout  # fmt: skip
    assert "Cannot run ./nothing" in cli("bisect", str(copied), "--run", "./nothing", check=1).stderr
    assert "--run needs a command" in cli("bisect", str(copied), "--run", check=2).stderr


def test_ctrl_c_and_going_on(cli: Cli, copied: Path, turned: int, tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = executable(
        tmp_path / "check.sh",
        f"""
        #!/bin/sh
        [ -e {tmp_path}/stay ] && [ "$RRDBG_PROBE" -gt 6 ] && exec sleep 1000
        [ "$RRDBG_ICOUNT" -lt {turned} ]
        """,
    )
    (tmp_path / "stay").touch()
    process = cli.popen("bisect", str(copied), "--no-gdb", "--log", str(log), "--run", str(script))
    wait_until(lambda: log.exists() and log.read_bytes().count(b"\n") == 7)
    os.kill(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Broken off; go on with: --good" in error
    assert f"--resume {log}\n" in error
    assert not qemus_in(copied)
    (tmp_path / "stay").unlink()
    done = cli("bisect", "--resume", str(log), "--no-gdb")
    assert "6 probes are known" in done.stderr
    assert done.stdout.startswith(f"{turned:,} (")
    kept = log.read_bytes()
    assert cli("bisect", "--resume", str(log), "--no-gdb").stdout.startswith(f"{turned:,} (")
    assert log.read_bytes() == kept, "all is known already"
    refused = cli("bisect", "--resume", str(log), "--console", "up", check=2)
    assert "goes on with what" in refused.stderr
    assert (
        "exists already" in cli("bisect", str(copied), "--no-gdb", "--log", str(log), "--run", "true", check=2).stderr
    )
    damaged = Path(shutil.copyfile(log, tmp_path / "other"))
    damaged.write_bytes(kept.replace(b'"identity": "', b'"identity": "0'))
    assert "of another recording" in cli("bisect", "--resume", str(damaged), "--no-gdb", check=2).stderr


def test_a_scan_lists_every_change(cli: Cli, copied: Path, magic: int, turned: int) -> None:
    done = cli("bisect", str(copied), "--scan", "--json", "--memory", f"{magic:#x}:8=={BAD}", "--no-gdb")
    found = [(change["new"], change["holds"]) for change in lines(done.stdout)]
    assert found == [(GOOD, False), (BAD, True)]
    done = cli("bisect", str(copied), "--scan", "--expr", "tasks[3].magic == 0x5461736b4d616700")
    assert done.stdout.split() == [f"{turned:,}", "true", "0", "->", "1"]
    done = cli("bisect", str(copied), "--scan", "--expr", "task_count > 6", check=3)
    assert (done.stdout, done.stderr.count("It never turns true")) == ("", 1)


def test_wrong_usage(cli: Cli, heapbug_recording: Path) -> None:
    def told(*words: str) -> str:
        return cli("bisect", str(heapbug_recording), *words, check=2).stderr

    assert "A predicate is missing" in told()
    assert "One predicate at a time: --expr and --console are given" in told("--expr", "1", "--console", "x")
    assert "must lie before the bad one" in told("--expr", "1", "--good", "end", "--bad", "start")
    assert "is not a test of memory" in told("--memory", "x=1", "--no-gdb")
    assert "opened without one" in told("--expr", "1", "--no-gdb")
    assert "Nothing may follow --" in told("--expr", "1", "--", "what")
