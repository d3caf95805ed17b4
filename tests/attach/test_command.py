"""``rrdbg attach`` as a user runs it: on a QEMU and a recording made by hand, and on what is not fit for it."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.attach.conftest import PLAIN, REPLAY, STATE, HandMade, Qemu, Start, monitor, stands_at
from tests.cli.conftest import Cli
from tests.cli.test_record import wait_until
from tests.guests.build import symbol


def test_a_session_and_another_one(cli: Cli, handmade: Qemu) -> None:
    """Where the first one leaves QEMU the second one begins, and no breakpoint or fence is left in it."""
    first = cli(*handmade.words("seek 50%", "break *$pc", "stepi 3", "watch *$sp:8"))
    left = stands_at(handmade)
    assert f"QEMU (pid {handmade.process.pid}) is left stopped at {left:,}." in first.stderr
    second = cli(*handmade.words("when", "info breakpoints"))
    assert second.stdout.splitlines()[1].startswith(f"{left:,} ")
    assert "No breakpoints or watchpoints." in second.stdout
    assert stands_at(handmade) == left
    with monitor(handmade) as ask:
        ask("cont")
        wait_until(lambda: ask("query-status")["status"] == "shutdown")
    assert handmade.process.poll() is None


def test_forward_and_backward_agree_on_a_foreign_recording(cli: Cli, handmade: Qemu, workload_guest: Path) -> None:
    """What is found going forward is found again, in reverse order, going back."""
    counter = symbol(workload_guest, "counter").address
    there = cli(*handmade.words(f"watch *{counter:#x}:8", "seek 40%", *["continue"] * 6), "--no-gdb")
    back = cli(*handmade.words(f"watch *{counter:#x}:8", *["reverse-continue"] * 6), "--no-gdb")
    values = [line.split("= ")[1] for line in there.stdout.splitlines() if "New value" in line]
    reversed_values = [line.split("= ")[1] for line in back.stdout.splitlines() if "New value" in line]
    assert len(values) == 6
    assert reversed_values[:6] == values[::-1]


def test_gdb_knows_the_program(cli: Cli, handmade: Qemu) -> None:
    """Symbols come from the kernel that QEMU was started with; GDB's reverse commands and queries work in one QEMU."""
    done = cli(
        *handmade.words("end", "break copy_block", "reverse-continue", "backtrace", "reverse-finish", "reverse-next")
    )
    assert "copy_block () at workload/workload.c" in done.stdout
    assert "do_round () at workload/workload.c" in done.stdout
    there = cli(*handmade.words("seek 30%", 'tprintf on_invalid_opcode,"%lu so far",invalid_opcodes to 75%', "when"))
    lines = [line for line in there.stdout.splitlines() if "so far" in line]
    numbers = [int(line.split()[-3]) for line in lines]
    assert len(numbers) > 2
    assert numbers == list(range(len(numbers)))
    assert f"was reached {len(numbers)} times" in there.stdout
    assert "(30.0%)" in there.stdout.splitlines()[-2]


def test_questions_about_all_of_time(cli: Cli, handmade: Qemu) -> None:
    """They have the one QEMU to themselves while they last."""
    words = handmade.words(
        "seek 90%", "last ticks", "seek 30%", "writes ticks", "reads ticks from 90%", "first counter"
    )
    rows = [json.loads(line) for line in cli(*words, "--json").stdout.splitlines()]
    found = [row["fields"] for row in rows if row["kind"] == "found"]
    written = [int(fields["new"], 0) for fields in found if "new" in fields]
    read = [int(fields["value"], 0) for fields in found if "value" in fields]
    assert written == list(range(1, len(written) + 1)), "each tick is one write"
    assert len(written) > 5
    assert read, "some of them are read again"
    assert set(read) <= {0, *written}
    last, first = (row for row in rows if row["kind"] == "changed")
    assert int(last["after"]) == int(last["before"]) + 1
    assert (first["before"], first["after"]) == ("0", "1")


def test_what_an_attached_qemu_cannot_do_is_said(cli: Cli, handmade: Qemu) -> None:
    assert "has no captured console" in cli(*handmade.words("console"), check=2).stderr
    assert "A what-if needs a second QEMU" in cli(*handmade.words("what-if on"), check=2).stderr


def test_a_console_that_was_captured(cli: Cli, handmade: Qemu) -> None:
    captured = handmade.directory / "console.log"
    words = handmade.words("console all", "bookmark here", "seek +100", "seek @here")
    done = cli(*words, "--console", str(captured))
    assert captured.read_text().splitlines()[0] in done.stdout
    assert done.stdout.splitlines()[-1] == done.stdout.splitlines()[1]
    assert "There is no console file" in cli(*handmade.words("when"), "--console", "/nowhere", check=2).stderr


def test_ctrl_c(cli: Cli, handmade: Qemu, workload_guest: Path) -> None:
    process = cli.popen(*handmade.words("start", hot_loop(workload_guest)))
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 130, output + errors
    assert "Interrupted at " in errors
    assert f"is left stopped at {stands_at(handmade):,}." in errors


def test_qemu_dies_during_a_movement(cli: Cli, handmade: Qemu) -> None:
    process = cli.popen(*handmade.words("start", *("seek end", "seek start") * 20))
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    handmade.process.kill()
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 1, output + errors
    assert "has ended" in errors
    assert "attach again" in errors
    assert "Traceback" not in errors


def test_qemu_died_between_movements(cli: Cli, handmade: Qemu) -> None:
    """Each command says so then, and the shell can still be left."""
    with subprocess.Popen(
        [sys.executable, "-m", "rrdbg", *(word for word in handmade.words() if word != "--batch")],
        env=cli.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as shell:  # fmt: skip
        try:
            assert shell.stdout is not None
            shell.stdout.readline()
            shell.stdout.readline()
            handmade.process.kill()
            handmade.process.wait()
            _, errors = shell.communicate("seek 50%\nstepi\nprint $pc\nwhen\nquit\n", timeout=30)
        finally:
            shell.kill()
    assert shell.returncode == 1, "input that no terminal gives ends with the first error"
    assert errors.count("has ended") == 3, errors


def attach_fails(cli: Cli, *words: str) -> str:
    return cli("attach", "--batch", *words, check=None).stderr


def test_nobody_is_there(cli: Cli, tmp_path: Path, handmade: Qemu) -> None:
    gdb = ("--gdb", handmade.gdb)
    assert "There is no socket /nowhere; start QEMU with -qmp" in attach_fails(cli, "--qmp", "/nowhere", *gdb)
    assert "Nobody listens at localhost:1" in attach_fails(cli, "--qmp", "localhost:1", *gdb)
    assert "is no address of a socket" in attach_fails(cli, "--qmp", "localhost:x", *gdb)
    errors = attach_fails(cli, "--qmp", handmade.qmp, "--gdb", str(tmp_path / "none"))
    assert "start QEMU with -gdb" in errors
    assert stands_at(handmade) == 0


def test_a_qemu_that_does_not_replay(cli: Cli, tmp_path: Path, start: Start) -> None:
    qemu = start(tmp_path, *PLAIN)
    assert "neither records nor replays; start it with -icount" in cli(*qemu.words("when"), check=1).stderr


def test_a_qemu_that_records_goes_on_recording(cli: Cli, recorded: HandMade, start: Start) -> None:
    directory, words = recorded.directory, recorded.words
    qemu = start(directory, *words, "-icount", "shift=1,rr=record,rrfile=new.bin,rrsnapshot=again")
    with monitor(qemu) as ask:
        ask("cont")
        assert "is recording. Attach to a replay" in cli(*qemu.words("when"), check=1).stderr
        assert ask("query-status")["status"] in ("running", "shutdown"), "a guest that has come to its end is no longer"


def test_no_snapshot_to_return_to(cli: Cli, recorded: HandMade, start: Start) -> None:
    """QEMU would save one, over and over again, for each debugger that connects."""
    directory, words = recorded.directory, recorded.words
    qemu = start(directory, *words, "-icount", "shift=1,rr=replay,rrfile=replay.bin")
    assert "started without a snapshot to return to" in cli(*qemu.words("when"), check=1).stderr
    listed = subprocess.run(
        ("qemu-img", "snapshot", "-U", "-l", "state.qcow2"), cwd=directory, capture_output=True, text=True, check=True
    )
    assert "start_debugging" not in listed.stdout


def test_past_the_end(cli: Cli, handmade: Qemu) -> None:
    with monitor(handmade) as ask:
        ask("cont")
        wait_until(lambda: ask("query-status")["status"] == "shutdown")
    errors = cli(*handmade.words("when"), check=1).stderr
    assert "stands past the end of its log, in the state 'shutdown'" in errors
    assert "left stopped" not in errors


def test_the_log(cli: Cli, recorded: HandMade, start: Start, tmp_path: Path) -> None:
    directory, words = recorded.directory, recorded.words
    moved = Path(shutil.copy(directory / "replay.bin", tmp_path / "moved.bin"))
    qemu = start(directory, *words, "-icount", REPLAY)
    (directory / "replay.bin").unlink()
    assert f"The replay log {directory / 'replay.bin'} cannot be opened" in cli(*qemu.words("when"), check=1).stderr
    assert "moved.bin: " in cli(*qemu.words("seek 50%"), "--log", str(moved)).stdout
    moved.write_bytes(moved.read_bytes()[:-100])
    assert "is damaged at byte" in cli(*qemu.words("when"), "--log", str(moved), check=1).stderr


def test_devices_that_loads_derail_are_named(cli: Cli, tmp_path: Path, workload_guest: Path, start: Start) -> None:
    """Recorded and replayed with QEMU's defaults; nothing that needs a load is tried."""
    subprocess.run(("qemu-img", "create", "-q", "-f", "qcow2", "state.qcow2", "1G"), cwd=tmp_path, check=True)
    words = (*PLAIN, *STATE, "-serial", "null", "-kernel", str(workload_guest))
    recorded = tuple(word for word in words if word != "-no-shutdown")
    subprocess.run(
        ("qemu-system-x86_64", *recorded, "-icount", REPLAY.replace("rr=replay", "rr=record")),
        cwd=tmp_path, check=True, timeout=60,
    )  # fmt: skip
    qemu = start(tmp_path, *words, "-icount", REPLAY)
    errors = cli(*qemu.words("stepi")).stderr
    flags = "-global apic-common.vapic=off -machine hpet=off -rtc base=DATE,clock=vm"
    assert f"record and replay again with {flags}: without that a load inside QEMU is not reliable" in errors


def test_over_tcp(cli: Cli, recorded: HandMade, start: Start) -> None:
    """The log's place and the options are not known then."""
    directory, words = recorded.directory, recorded.words
    with socket.socket() as free, socket.socket() as other:
        free.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        qmp, gdb = (end.getsockname()[1] for end in (free, other))
    start(
        directory, *words, "-icount", REPLAY, "-qmp", f"tcp:127.0.0.1:{qmp},server=on,wait=off",
        "-chardev", f"socket,id=tcp-gdb,host=127.0.0.1,port={gdb},server=on,wait=off",
    )  # fmt: skip
    where = ("--qmp", f"localhost:{qmp}", "--gdb", str(directory / "gdb"))
    assert "say it with --log FILE" in attach_fails(cli, *where)
    done = cli("attach", *where, "--log", str(directory / "replay.bin"), "--batch", "-ex", "seek 50%", "-ex", "when")
    assert done.stdout.count("50.0%") == 2
    assert "The attached QEMU is left stopped at " in done.stderr


def hot_loop(guest: Path) -> str:
    """A command that takes seconds: it stops thousands of times."""
    return f'tprintf *{symbol(guest, "twist").address:#x},"x"'
