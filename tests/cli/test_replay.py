"""``rrdbg replay``: commands, batch use, JSON, and every kind of bad input."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rrdbg.commands.help import COMMANDS
from rrdbg.errors import UsageError
from tests.cli.conftest import Cli, bare_metal
from tests.cli.test_record import wait_until
from tests.guests.build import symbol
from tests.processes import qemus_in

MAGIC_OFFSET_IN_TASK = 0
SLEEPER = 3


@pytest.fixture
def magic(heapbug_guest: Path) -> int:
    """The address of tasks[3].magic."""
    tasks = symbol(heapbug_guest, "tasks")
    return tasks.address + SLEEPER * tasks.size // 6 + MAGIC_OFFSET_IN_TASK


def test_from_the_crash_to_its_cause(cli: Cli, heapbug_recording: Path, heapbug_guest: Path, magic: int) -> None:
    done = cli(
        "replay", "--no-gdb", str(heapbug_recording), "--json", "--batch",
        "-ex", f"watch *{magic:#x}:8", "-ex", "reverse-continue", "-ex", "when",
    )  # fmt: skip
    opened, at_end, point, stopped, when = (json.loads(line) for line in done.stdout.splitlines())
    assert (opened["kind"], at_end["kind"], point["kind"]) == ("message", "stopped", "point-set")
    culprit = symbol(heapbug_guest, "log_append")
    assert culprit.address <= stopped["stop"]["pc"] < culprit.address + culprit.size
    assert stopped["stop"]["reason"] == "watchpoint"
    change = stopped["stop"]["hits"][0]["change"]
    assert (change["before"], change["after"]) == ("6967614d6b736154", "0067614d6b736154")
    assert when["position"] == stopped["stop"]["position"]
    assert when["position"]["icount"] < at_end["stop"]["position"]["icount"] - 1_000_000


def test_gdb_abbreviations(cli: Cli, heapbug_recording: Path) -> None:
    output = cli.replay(heapbug_recording, "seek 50%", "si", "rsi", "b *$pc", "rc", "c", "d 1", "i b", "i r rip", "q")
    assert "Breakpoint 1 at" in output
    assert "No breakpoints or watchpoints." in output
    assert "rip " in output


def test_back_and_forth_is_the_same_place(cli: Cli, workload_recording: Path) -> None:
    output = cli.replay(workload_recording, "seek 50%", "when", "rsi 500", "si 500", "when", "info registers")
    lines = [line for line in output.splitlines() if "50.0%" in line or "%)" in line]
    assert lines[1] == lines[2] == lines[4] == lines[5]


def test_nothing_to_find_stops_at_the_start_and_says_so(cli: Cli, heapbug_recording: Path) -> None:
    output = cli.replay(heapbug_recording, "break *0x12345", "reverse-continue")
    assert "this is the start of the recording" in output
    output = cli.replay(heapbug_recording, "break *0x12345", "start", "continue")
    assert "This is the end of the recording." in output


def test_memory_formats(cli: Cli, heapbug_recording: Path, heapbug_guest: Path, magic: int) -> None:
    output = cli.replay(
        heapbug_recording, f"x/2xg {magic:#x}", f"x/8xb {magic:#x}", f"x/d {magic:#x}", f"x/c {magic + 1:#x}",
        f"x/s {magic + 1:#x}", "x/2i $pc", "x/tb $rsp", "x",
    )  # fmt: skip
    assert f"{magic:#x}:\t0x5461736b4d616700" in output
    assert "\t0x00\t0x67\t0x61\t0x4d\t0x6b\t0x73\t0x61\t0x54" in output
    assert "103 'g'" in output
    assert '"gaMksaT' in output
    assert "jmp" in output


def test_snapshots_stay(cli: Cli, copied: Path) -> None:
    assert "Snapshot 'middle'" in cli.replay(copied, "seek 50%", "snapshot middle")
    output = cli.replay(copied, "info snapshots", "bookmark here", "seek 10%", "seek @here")
    assert "middle" in output
    assert "\nThey take " in output
    assert output.splitlines()[-1].startswith(output.splitlines()[1].split()[0])


def test_the_processes_are_listed(cli: Cli, heapbug_recording: Path) -> None:
    output = cli.replay(heapbug_recording, "info processes").splitlines()
    [heading, row] = output[output.index("No spares.") - 2 : output.index("No spares.")]
    assert heading.split() == ["Pid", "For", "Position", "Memory", "Age"]
    assert row.split()[1] == "cursor", "a batch leaves no time to start spares"
    answers = cli("replay", "--no-gdb", "--json", "--batch", "-ex", "info processes", str(heapbug_recording)).stdout
    [process] = json.loads(answers.splitlines()[-1])["processes"]
    assert process["role"] == "cursor"
    assert process["memory"] > 1 << 20


def test_command_files_and_status(cli: Cli, heapbug_recording: Path, tmp_path: Path) -> None:
    script = tmp_path / "commands"
    script.write_text("# go to the middle\nseek 50%\n\nwhen\n")
    done = cli(
        "replay",
        "--no-gdb",
        str(heapbug_recording),
        "-x",
        str(script),
        "-ex",
        "bogus",
        "-ex",
        "when",
        "--batch",
        check=2,
    )
    assert done.stdout.count("50.0%") == 2, "nothing is run after the command that failed"
    assert "There is no command 'bogus'" in done.stderr
    done = cli("replay", "--no-gdb", str(heapbug_recording), "-x", "/nowhere", "--batch", check=2)
    assert "Cannot read the command file /nowhere" in done.stderr


def test_lines_from_a_pipe(cli: Cli, heapbug_recording: Path) -> None:
    done = cli("replay", "--no-gdb", str(heapbug_recording), typed="seek 50%\nbogus\nsi\n\n\nquit\nwhen\n", check=2)
    assert done.stdout.count("50.0%") == 4, "an empty line repeats stepi; nothing is run after quit"
    assert "There is no command 'bogus'; 'help' lists the commands." in done.stderr


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sek 5", "'seek'"),
        ("braek main", "'break'"),
        ("inof timeline", "'info timeline'"),
        ("reverse-contine", "'reverse-continue'"),
    ],
)
def test_what_was_mistyped(typed: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean {meant}"):
        COMMANDS.match(typed)


def test_every_command_is_documented() -> None:
    for command in COMMANDS.commands:
        assert command.summary.endswith("."), command.name
        assert command.examples, command.name


def test_help(cli: Cli, heapbug_recording: Path) -> None:
    output = cli.replay(heapbug_recording, "help", "help rc", "help info snap")
    assert all(command.name in output for command in COMMANDS.commands)
    assert "reverse-continue\nGo back to the last breakpoint" in output


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("seek 1e12", 1, "outside the recording"),
        ("seek -1e12", 1, "outside the recording"),
        ("seek 101%", 1, "outside the recording"),
        ("seek banana", 2, "is not a number of instructions"),
        ("seek", 2, "A position is missing"),
        ("seek @none", 2, "There is no bookmark 'none'"),
        ("seek 1000:7", 1, "There is no position 1,000:7"),
        ("break 12 34", 2, "is not an address"),
        ("break", 2, "needs an address"),
        ("watch *0x1000", 2, "write *ADDRESS:LENGTH"),
        ("watch *0x1000:0", 2, "1 to 65,536 bytes"),
        ("delete 7", 2, "no breakpoint or watchpoint number 7"),
        ("x/4xg 0xdeadbeef00000000", 1, "Cannot read"),
        ("x/4zz $pc", 2, "is not a format"),
        ("x/x $nothing", 2, "There is no register $nothing"),
        ("info nonsense", 2, "ambiguous or unknown"),
        ("info", 2, "needs a subject"),
        ("stepi 0", 2, "at least 1"),
        ("s", 2, "ambiguous or unknown"),
    ],
)
def test_bad_commands_say_what_is_wrong(
    cli: Cli, heapbug_recording: Path, command: str, status: int, message: str
) -> None:
    assert message in cli.replay(heapbug_recording, command, check=status)


def test_an_error_is_json_too(cli: Cli, heapbug_recording: Path) -> None:
    done = cli("replay", "--no-gdb", str(heapbug_recording), "--json", "--batch", "-ex", "seek 1e12", check=1)
    error = json.loads(done.stdout.splitlines()[-1])
    assert (error["kind"], error["error"], error["exit_code"]) == ("error", "OutOfRange", 1)


def test_no_recording(cli: Cli, tmp_path: Path) -> None:
    assert "There is no recording yet" in cli("replay", "--batch", check=1).stderr
    assert "There is no recording nowhere" in cli("replay", "nowhere", "--batch", check=1).stderr
    assert "is not a recording" in cli("replay", "--no-gdb", str(tmp_path), "--batch", check=1).stderr


def test_a_truncated_log(cli: Cli, copied: Path) -> None:
    log = copied / "replay.bin"
    log.write_bytes(log.read_bytes()[:-100])
    assert "replay.bin is not the file that was recorded" in cli.replay(copied, check=1)


def test_a_foreign_log(cli: Cli, copied: Path, workload_recording: Path) -> None:
    shutil.copy(workload_recording / "replay.bin", copied / "replay.bin")
    assert "replay.bin is not the file that was recorded" in cli.replay(copied, check=1)


def test_a_missing_snapshot_image(cli: Cli, copied: Path) -> None:
    (copied / "snapshots" / "initial.qcow2").unlink()
    assert "initial.qcow2 is missing" in cli.replay(copied, check=1)


def test_a_snapshot_image_of_another_recording(cli: Cli, copied: Path, workload_recording: Path) -> None:
    shutil.copy(workload_recording / "snapshots" / "initial.qcow2", copied / "snapshots" / "initial.qcow2")
    assert "initial.qcow2 is not the file that was recorded" in cli.replay(copied, check=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "made by a newer rrdbg"),
        ({"schema": "x"}, "is not a recording's manifest"),
        ({"icount": None}, "is damaged"),
        ({"invocation": {}}, "is damaged"),
        ({"qemu_version": "99.0"}, "replays only in the version that made it"),
    ],
)
def test_a_foreign_manifest(cli: Cli, copied: Path, change: dict[str, object], message: str) -> None:
    manifest = copied / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    assert message in cli.replay(copied, check=1)


def test_a_damaged_manifest(cli: Cli, copied: Path) -> None:
    (copied / "manifest.json").write_text("{")
    assert "is not JSON" in cli.replay(copied, check=1)


def test_a_damaged_timeline(cli: Cli, copied: Path) -> None:
    (copied / "timeline.json").write_text("[]")
    assert "timeline.json is damaged" in cli.replay(copied, check=1)


def test_qemu_is_missing_at_replay(cli: Cli, copied: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "qemu-system-x86_64 is not installed" in cli.replay(copied, check=1, PATH=str(tmp_path / "empty"))


def test_two_shells_on_one_recording(cli: Cli, copied: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-m", "rrdbg", "replay", "--no-gdb", str(copied)],
        env=cli.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert first.stdout is not None
    try:
        first.stdout.readline()
        second = cli("replay", "--no-gdb", "--batch", str(copied), "-ex", "seek 50%", "-ex", "bookmark half")
        assert "(50.0%)" in second.stdout
        assert "another rrdbg" not in second.stderr
    finally:
        said, _ = first.communicate("seek @half\nbookmark mine\nquit\n", timeout=30)
    assert (first.returncode, "(50.0%)" in said) == (0, True)
    listed = cli.replay(copied, "info bookmarks")
    assert "half" in listed
    assert "mine" in listed


def test_a_moved_recording_opens(cli: Cli, copied: Path, tmp_path: Path) -> None:
    cli.replay(copied, "seek 50%", "snapshot middle")
    moved = copied.rename(tmp_path / "with, comma and space")
    assert "middle" in cli.replay(moved, "seek 60%", "reverse-stepi", "info snapshots")


def test_ctrl_c_in_a_long_operation(cli: Cli, workload_guest: Path) -> None:
    """A read watchpoint on a hot place makes a search long; Ctrl-C ends it at a stated position."""
    cli("record", "-q", "--name", "long", "--", *bare_metal(workload_guest))
    ring = symbol(workload_guest, "ring").address
    process = cli.popen(
        "replay", "--no-gdb", str(cli.root / "long-1"), "--batch", "-ex", f"rwatch *{ring:#x}:1", "-ex", "break *0x1",
        "-ex", "start", "-ex", "stepi 2,000,000",
    )  # fmt: skip
    assert process.stdout is not None
    while "(0.0%)" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 130, output + errors
    assert "Interrupted at " in errors
    wait_until(lambda: not qemus_in(cli.root))


def test_a_broken_pipe_is_quiet(cli: Cli, heapbug_recording: Path) -> None:
    command = f"{sys.executable} -m rrdbg replay {heapbug_recording} --batch -ex help -ex help | head -1"
    done = subprocess.run(["bash", "-c", command], env=cli.environment(), capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr


def test_version_and_usage(cli: Cli) -> None:
    assert cli("--version").stdout.startswith("rrdbg ")
    assert "record" in cli("--help").stdout
    cli("nonsense", check=2)
    assert os.environ.get("RRDBG_DIR") != str(cli.root)


def test_the_reference_page_is_up_to_date() -> None:
    script = Path(__file__).parents[2] / "scripts" / "reference.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
