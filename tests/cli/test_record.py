"""``rrdbg record``: what it makes, how it ends, what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rrdbg.store.recording import Recording
from tests.cli.conftest import QEMU, Cli, bare_metal
from tests.guests.build import run_tool
from tests.processes import qemus_in


def test_a_recording_has_everything(cli: Cli, workload_guest: Path) -> None:
    done = cli("record", "--name", "work", "--", *bare_metal(workload_guest))
    assert "workload: done" in done.stdout
    assert "hpet=off" in done.stderr
    assert "Open it with: rrdbg replay work-1" in done.stderr
    with Recording.open(cli.root / "work-1") as recording:
        manifest = recording.manifest
        assert manifest.command == bare_metal(workload_guest)
        assert manifest.initial_tag == "replay_init"
        assert manifest.icount == recording.log.total > 1_000_000
        assert 0 < manifest.end <= manifest.icount
        assert manifest.ended == "the guest powered off"
        assert set(manifest.checksums) == {"replay.bin", "snapshots/initial.qcow2", "files/kernel"}
        assert recording.layout.console.read_bytes().startswith(b"workload: up")
    assert json.loads((cli.root / "work-1" / "manifest.json").read_text())["schema"] == 1


def test_a_file_inside_of_an_option_is_copied_too(cli: Cli, workload_guest: Path, tmp_path: Path) -> None:
    """As firmware is loaded: the file may be built anew, and the recording be opened elsewhere."""
    file = tmp_path / "table.bin"
    file.write_bytes(b"once upon")
    loader = f"loader,file={os.path.relpath(file)},addr=0x700000,force-raw=on"
    cli("record", "--name", "loaded", "--", *bare_metal(workload_guest), "-device", loader)
    file.write_bytes(b"a new one")
    assert "0x65636e6f" in cli.replay(cli.root / "loaded-1", "x/2xw 0x700000")


def test_the_latest_recording_is_opened(cli: Cli, heapbug_guest: Path) -> None:
    cli("record", "--until-console", "up", "--", *bare_metal(heapbug_guest))
    cli("record", "--until-console", "PANIC", "--", *bare_metal(heapbug_guest))
    assert "printed 'PANIC'" in cli("replay", "--batch").stdout


def test_the_initial_snapshot_can_be_named(cli: Cli, workload_guest: Path) -> None:
    cli("record", "--name", "named", "--snapshot", "day one", "--", *bare_metal(workload_guest))
    assert "day one" in cli.replay(cli.root / "named-1", "info recording")


def test_ends_at_a_timeout(cli: Cli) -> None:
    done = cli("record", "--timeout", "1", "--", QEMU, "-m", "16", "-nodefaults", "-nographic")
    assert "the timeout of 1 s" in done.stderr


def test_ends_at_an_instruction_count(cli: Cli, workload_guest: Path) -> None:
    done = cli("record", "--name", "n", "--max-icount", "1e6", "--", *bare_metal(workload_guest))
    assert "1,000,000 instructions were reached" in done.stderr or "powered off" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(cli: Cli, number: signal.Signals) -> None:
    process = cli.popen("record", "--name", "long", "--", QEMU, "-m", "16", "-nodefaults", "-nographic")
    log = cli.root / "long-1" / "replay.bin"
    wait_until(lambda: log.exists() and log.stat().st_size > 1000)
    process.send_signal(number)
    _output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert f"{number.name} was received" in errors
    assert "long-1" in cli.replay(cli.root / "long-1", "when")


def test_a_killed_rrdbg_takes_its_qemu_with_it(cli: Cli) -> None:
    process = cli.popen("record", "--name", "long", "--", QEMU, "-m", "16", "-nodefaults", "-nographic")
    log = cli.root / "long-1" / "replay.bin"
    wait_until(lambda: log.exists() and log.stat().st_size > 1000)
    process.kill()
    process.communicate()
    wait_until(lambda: not qemus_in(cli.root))
    assert "is not a recording" in cli.replay(cli.root / "long-1", check=1)


def test_a_killed_qemu_leaves_nothing(cli: Cli) -> None:
    process = cli.popen("record", "--name", "long", "--", QEMU, "-m", "16", "-nodefaults", "-nographic")
    log = cli.root / "long-1" / "replay.bin"
    wait_until(lambda: log.exists() and log.stat().st_size > 1000)
    (pid,) = (int(entry.name) for entry in Path("/proc").iterdir() if is_qemu_of(entry, cli.root))
    os.kill(pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "was killed by SIGKILL" in errors
    assert "The recording is incomplete" in errors
    assert not (cli.root / "long-1").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("-smp", "2"), "QEMU records one"),
        (("-smp", "cores=2"), "QEMU records one"),
        (("-snapshot",), "leave it out"),
        (("-enable-kvm",), "KVM cannot be recorded"),
        (("-accel", "kvm"), "only tcg can be"),
        (("-machine", "pc,accel=kvm"), "only tcg can be"),
        (("-icount", "shift=1"), "--shift"),
        (("-kernel", "/nowhere/vmlinuz"), "Cannot read /nowhere/vmlinuz"),
        (("-hda", "/nowhere/disk.img"), "Cannot read the disk image /nowhere/disk.img"),
        (("-m",), "needs an argument"),
        (("-nosuchoption", "x"), "QEMU did not start"),
        (("-machine", "nosuchmachine"), "QEMU did not start"),
    ],
)
def test_what_cannot_be_recorded_is_refused(cli: Cli, arguments: tuple[str, ...], reason: str) -> None:
    done = cli("record", "--", QEMU, *arguments, check=None)
    assert done.returncode in (1, 2)
    assert reason in done.stderr
    assert len(done.stderr.strip().splitlines()[-1]) < 400
    assert not [path for path in cli.root.glob("*") if path.name != "state"], "a refused recording leaves nothing"


def test_a_missing_qemu_is_named(cli: Cli) -> None:
    assert "qemu-system-nowhere is not installed" in cli("record", "--", "qemu-system-nowhere", check=1).stderr


def test_another_program_is_no_qemu(cli: Cli) -> None:
    assert "is not a QEMU system emulator" in cli("record", "--", "/bin/echo", check=1).stderr


def test_an_existing_directory_is_not_overwritten(cli: Cli, tmp_path: Path, workload_guest: Path) -> None:
    done = cli("record", "-o", str(tmp_path), "--", *bare_metal(workload_guest), check=2)
    assert "exists already" in done.stderr


def test_a_full_disk_ends_it_in_order(cli: Cli, tmp_path: Path) -> None:
    """On a file system of 48 MB that fills up, the recording stops in order and can be replayed."""
    small = tmp_path / "small"
    small.mkdir()
    rrdbg = f"{sys.executable} -m rrdbg"
    script = f"""
        mount -t tmpfs -o size=48m none {small} || exit 99
        (until [ -s {small}/r/replay.bin ]; do sleep 0.05; done; head -c 24m /dev/zero > {small}/filler) &
        {rrdbg} record --timeout 60 -o {small}/r -- {QEMU} -m 16 -nodefaults -nographic &&
        rm {small}/filler && {rrdbg} replay {small}/r --batch -ex when"""
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "bash", "-c", script],
        env=cli.environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the disk is almost full" in done.stderr
    assert "the disk is almost full" in done.stdout


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_a_disk_image_is_never_written(cli: Cli, tmp_path: Path, image_format: str) -> None:
    disk = tmp_path / "disk.img"
    subprocess.run(["qemu-img", "create", "-q", "-f", image_format, disk, "16M"], check=True)
    before = hashlib.sha256(disk.read_bytes()).hexdigest()
    cli("record", "--name", "disk", "--timeout", "1", "--", QEMU, "-m", "16", "-hda", str(disk), "-nographic")
    output = cli.replay(cli.root / "disk-1", "seek 50%", "snapshot here", "seek end", "seek @nothing", check=2)
    assert "no bookmark 'nothing'" in output
    assert hashlib.sha256(disk.read_bytes()).hexdigest() == before


def wait_until(ready: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not ready():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_qemu_of(entry: Path, root: Path) -> bool:
    try:
        words = (entry / "cmdline").read_bytes()
    except OSError:
        return False
    # It may have been started by a dynamic loader of its own; the one who starts it is Python.
    return b"qemu-system" in words and bytes(root) in words and b"python" not in words.split(b"\0")[0]


def test_s8_nobody_else_reads_a_recording_whatever_the_umask(cli: Cli, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cli("record", "-o", str(tmp_path / "recording"), "--max-icount", "1e5", "--", QEMU, "-m", "16M", "-nodefaults")
    finally:
        os.umask(before)
    assert (tmp_path / "recording").stat().st_mode & 0o777 == 0o700


def test_f9_what_cannot_be_opened_is_refused_at_once(cli: Cli, tmp_path: Path) -> None:
    """No rule knows this board, which goes other ways from a snapshot in its middle (7.2, 10.0 and 11.1)."""
    image = tmp_path / "image.bin"
    image.write_bytes(b"\xfe\xff\xff\xea")  # a loop
    board = ("qemu-system-arm", "-M", "sx1", "-nographic", "-kernel", str(image))
    refused = cli("record", "-o", str(tmp_path / "recording"), "--", *board, check=2)
    assert "goes another way from a snapshot in its middle" in refused.stderr
    assert "--no-check" in refused.stderr
    assert not (tmp_path / "recording").exists()
    cli("record", "--no-check", "-o", str(tmp_path / "recording"), "--max-icount", "1e6", "--", *board)
    assert (tmp_path / "recording" / "manifest.json").exists()


def test_f9_the_trial_touches_nothing_of_the_users(cli: Cli, workload_guest: Path, tmp_path: Path) -> None:
    """Its guest types to no file, listens at no port; a disk written in place holds what it held."""
    disk, printed = tmp_path / "disk.qcow2", tmp_path / "printed"
    run_tool("qemu-img", "create", "-q", "-f", "qcow2", str(disk), "1M")
    cli(
        "record", "--in-place", "-o", str(tmp_path / "recording"), "--",
        *bare_metal(workload_guest), "-drive", f"file={disk},format=qcow2",
        "-chardev", f"file,id=c,path={printed},append=on", "-device", "isa-debugcon,chardev=c,iobase=0xe9",
    )  # fmt: skip
    assert run_tool("qemu-img", "snapshot", "-l", str(disk)).count("replay_init") == 1
    assert printed.exists()


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ("x86_64", ("-smp", "1,maxcpus=2,sockets=2", "-device", "qemu64-x86_64-cpu,socket-id=1,core-id=0,thread-id=0")),
        ("aarch64", ("-M", "xlnx-zcu102")),
    ],
)
def test_f13_qemu_is_asked_how_many_cpus_there_are(cli: Cli, machine: str, words: tuple[str, ...]) -> None:
    refused = cli("record", "--", f"qemu-system-{machine}", "-nographic", *words, check=2)
    assert "CPUs, and QEMU records one; leave -smp" in refused.stderr


def test_f7_a_forwarded_port_is_had_by_the_recording_alone(cli: Cli, workload_guest: Path) -> None:
    """All replays that run at once would want the port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    forwarded = ("-netdev", f"user,id=n,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=n")
    cli("record", "--name", "net", "--", *bare_metal(workload_guest), *forwarded)
    with socket.create_server(("127.0.0.1", port)):
        assert "100.0%" in cli.replay(cli.root / "net-1", "seek 50%", "reverse-stepi", "seek end")
