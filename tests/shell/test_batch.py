"""``rrdbg replay`` with a GDB, in scripts: JSON lines, exit statuses, and a GDB that is not there."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.guests.build import symbol


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "library")


@pytest.fixture
def heapbug(heapbug: Path, tmp_path: Path) -> Path:
    """A copy of the recording, since a session leaves marks and snapshots in it."""
    return Path(shutil.copytree(heapbug, tmp_path / "heapbug"))


PLACE = re.compile(r"[\d,]+(:\d+)? \(\d+\.\d%\)")


def test_json_tells_of_gdbs_movements(cli: Cli, heapbug: Path, heapbug_guest: Path) -> None:
    done = cli(
        "replay", str(heapbug), "--json", "--batch", "-ex", "break log_append", "-ex", "watch tasks[3].magic",
        "-ex", "reverse-continue", "-ex", "reverse-continue", "-ex", "info registers rip",
        "-ex", "x/xg &tasks[3].magic",
    )  # fmt: skip
    _, _, point, _, write, call, registers, memory = (json.loads(line) for line in done.stdout.splitlines())
    assert point["kind"] == "output"
    culprit = symbol(heapbug_guest, "log_append")
    assert write["kind"] == call["kind"] == "stopped"
    assert write["stop"]["reason"] == "watchpoint"
    (hit,) = write["stop"]["hits"]
    assert hit["point"]["number"] == 2
    assert (hit["change"]["before"], hit["change"]["after"]) == ("6967614d6b736154", "0067614d6b736154")
    assert write["frame"]["function"] == "log_append"
    assert (call["stop"]["reason"], call["stop"]["pc"]) == ("breakpoint", culprit.address)
    assert call["stop"]["position"]["icount"] < write["stop"]["position"]["icount"]
    assert registers["values"]["rip"] == culprit.address
    assert memory["rows"][0]["items"] == ["0x5461736b4d616769"]


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("print nothing_like_it", 1, 'No symbol "nothing_like_it" in current context.'),
        ("bogus", 1, 'Undefined command: "bogus".'),
        ("set var rounds = 1", 2, "nothing can be changed"),
        ("detach", 2, "cannot be used here"),
        ("last nothing_like_it", 1, 'No symbol "nothing_like_it" in current context.'),
        ("last 5", 1, "Attempt to take address of value not located in memory."),
        ("python", 2, "a line 'end' is missing"),
    ],
)
def test_what_goes_wrong_is_said_and_has_a_status(
    cli: Cli, heapbug: Path, command: str, status: int, message: str
) -> None:
    done = cli("replay", str(heapbug), "--batch", "-ex", command, "-ex", "print 6 * 7", check=status)
    assert message in done.stderr
    assert "42" not in done.stdout, "nothing is run after the command that failed"


def test_a_gdb_that_is_not_there(cli: Cli, heapbug: Path, tmp_path: Path) -> None:
    done = cli("replay", str(heapbug), "--batch", "--gdb", "/nowhere/gdb", check=1)
    assert "/nowhere/gdb is not installed or not on PATH" in done.stderr
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("qemu-system-x86_64", "qemu-img", "setpriv", "sh"):
        path = shutil.which(name)
        assert path is not None
        (programs / name).symlink_to(path)
    done = cli("replay", str(heapbug), "--batch", "-ex", "rsi", PATH=str(programs))
    assert "There is no GDB for x86_64 guests; on Debian: apt-get install gdb." in done.stderr
    assert "0x" in done.stdout
    done = cli("replay", str(heapbug), "--batch", "--symbols", "/nowhere", check=2)
    assert "There is no file /nowhere" in done.stderr


def test_lines_from_a_pipe_may_be_blocks(cli: Cli, heapbug: Path) -> None:
    typed = "python\nprint('from', 'python')\nend\nstepi\nreverse-stepi\n\nbogus\nprint 6 * 7\n"
    done = cli("replay", str(heapbug), typed=typed, check=1)
    assert "from python" in done.stdout
    assert "= 42" in done.stdout
    assert "Undefined command" in done.stderr


def test_gdbs_movements_tell_their_position(cli: Cli, heapbug: Path) -> None:
    """There is no prompt that would (C7)."""
    words = ("break log_append", "reverse-continue", "when", "reverse-next", "when")
    done = cli("replay", str(heapbug), "--batch", *(word for line in words for word in ("-ex", line)))
    *_, stopped, when, gone_back, last = [line for line in done.stdout.splitlines() if PLACE.match(line)]
    assert when.startswith(stopped)
    assert last.startswith(gone_back)
    assert stopped != gone_back


def test_no_gdb_is_left_behind(cli: Cli, heapbug: Path) -> None:
    environment = cli.environment(MARK=str(cli.root))
    assert environment["MARK"]
    cli("replay", str(heapbug), "--batch", "-ex", "bt", MARK=str(cli.root))
    marked = [entry for entry in Path("/proc").iterdir() if entry.name.isdecimal() and _is_marked(entry, cli.root)]
    assert marked == []


def _is_marked(process: Path, mark: Path) -> bool:
    try:
        return f"MARK={mark}".encode() in (process / "environ").read_bytes() and int(process.name) != os.getpid()
    except OSError:
        return False
