"""A recording from elsewhere, replayed by a QEMU that is confined and watched: what it opens, reaches and executes."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from rrdbg.links.become_qemu import landlock_version
from rrdbg.links.process import find_qemu
from tests.cli.conftest import QEMU, Cli, bare_metal
from tests.guests.build import QEMU_OPTIONS
from tests.importing.conftest import SAFE, HandMade

_CALLS = "openat,open,creat,execve,execveat,socket,connect,bind,listen,fork,vfork"
_OPENED = re.compile(r'\b(?:openat|open|creat)\((?:AT_FDCWD, )?"([^"]*)".*\) = (\d+)')
_SYSTEM = (
    "/usr/",
    "/lib/",
    "/lib64/",
    "/bin/",
    "/etc/ld.so",
    "/dev/null",
    "/dev/urandom",
    "/proc/self/",
    "/etc/localtime",
    "/sys/devices/system/",
)


@pytest.fixture
def watched(tmp_path: Path) -> tuple[str, Path]:
    """A folder for the front of PATH, with a program that traces what becomes QEMU, and where the traces come to lie.

    It stands in the place of ``setpriv``, the first of what lies in front of QEMU.
    """
    if not landlock_version():
        pytest.skip("This host's kernel has no Landlock.")
    programs, traces = tmp_path / "programs", tmp_path / "traces"
    programs.mkdir()
    traces.mkdir()
    # -D: the traced program keeps the process id that rrdbg knows; --seccomp-bpf: no other call stops it.
    strace = ("strace", "-D", "-f", "--seccomp-bpf", "-qq", "-e", f"trace={_CALLS}", "-o")
    setpriv = programs / "setpriv"
    setpriv.write_text(f'#!/bin/sh\nshift 3\nexec {shlex.join(strace)} {traces}/$$ "$@"\n')
    setpriv.chmod(0o755)
    return f"{programs}:{os.environ['PATH']}", traces


@pytest.mark.parametrize("own", [False, True])
def test_qemu_opens_its_own_files_and_runs_and_reaches_nothing(
    cli: Cli, copied: Path, watched: tuple[str, Path], own: bool
) -> None:
    path, traces = watched
    if own:
        cli("replay", "--no-gdb", "--trust", str(copied), "--batch")
    told = cli.replay(copied, "seek 50%", "stepi", "rsi", "seek 25%", "info registers rip", PATH=path)
    assert "(25.0%)" in told
    check(traces, copied, "replay.bin")


def test_nor_does_the_qemu_that_records(
    cli: Cli, heapbug_guest: Path, watched: tuple[str, Path], tmp_path: Path
) -> None:
    path, traces = watched
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 16))
    words = ["record", "--no-check", "-o", str(tmp_path / "made"), "--max-icount", "100000", "--"]
    words += bare_metal(heapbug_guest)
    cli(*words, "-drive", f"file={disk},format=raw,if=ide", PATH=path)
    check(traces, tmp_path / "made", "replay.bin", str(disk))


def test_nor_does_the_qemu_that_imports(
    cli: Cli, heapbug_guest: Path, watched: tuple[str, Path], tmp_path: Path
) -> None:
    path, traces = watched
    made = HandMade(tmp_path, (*QEMU_OPTIONS, *SAFE, "-nic", "none", "-kernel", str(heapbug_guest)), "auto")
    made.record("PANIC")
    words = ["import", "--log", str(tmp_path / "replay.bin"), "-o", str(tmp_path / "made"), "--"]
    cli(*words, *made.command("replay"), PATH=path)
    check(traces, tmp_path / "made", "replay.bin")


def test_a_recording_that_needs_the_host_has_it(cli: Cli, heapbug_guest: Path, tmp_path: Path) -> None:
    """What is asked for and cannot be described is left alone: a folder for firmware, a screen that is listened to."""
    made = tmp_path / "made"
    words = ["record", "-o", str(made), "--max-icount", "100000", "--", *bare_metal(heapbug_guest)]
    cli(*words, "-L", str(tmp_path), "-L", "/usr/share/seabios", "-vnc", f"unix:{tmp_path / 'screen'}")
    assert "(50.0%)" in cli.replay(made, "seek 50%")
    told = cli("info", str(made)).stdout
    assert "it starts no programs" in told
    assert f"-L {tmp_path}" in told


def check(traces: Path, recording: Path, *must: str) -> None:
    """Demand that all that became QEMU opened only what is its own, and executed and reached nothing."""
    installed = str(Path(find_qemu(QEMU)).resolve().parent.parent)  # its libraries and firmware, if it has its own
    called: list[str] = []
    for trace in traces.iterdir():
        lines = trace.read_text().splitlines()
        # Before QEMU is executed there is the program that confines it.
        executed = [number for number, line in enumerate(lines) if "execve(" in line and line.endswith("= 0")]
        assert f"{QEMU}" in lines[executed[-1]]
        called += lines[executed[-1] + 1 :]
    # QEMU wants to be told of a log by a path of some length: there are slashes in it.
    opened = {os.path.normpath(match[1]) for line in called if (match := _OPENED.search(line))}
    assert all(any(name.endswith(end) for name in opened) for end in must), "this is no trace of it"
    own = (*_SYSTEM, str(recording), "/dev/fd/", installed, *must[1:])
    assert {name for name in opened if not name.startswith(own)} == set()
    assert [
        line for line in called if re.search(r"\b(socket|connect|bind|listen|execve|execveat|v?fork)\(.*= \d", line)
    ] == []
