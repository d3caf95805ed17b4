"""A recording from elsewhere, replayed by a QEMU that is confined and watched: what it opens, reaches and executes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from rrdbg.links.become_qemu import landlock_version
from rrdbg.links.process import find_qemu
from tests.cli.conftest import QEMU, Cli

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
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed.")
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
    installed = str(Path(find_qemu(QEMU)).resolve().parent.parent)  # its libraries and firmware, if it has its own
    if own:
        cli("replay", "--no-gdb", "--trust", str(copied), "--batch")
    told = cli.replay(copied, "seek 50%", "stepi", "rsi", "seek 25%", "info registers rip", PATH=path)
    assert "(25.0%)" in told
    called: list[str] = []
    for trace in traces.iterdir():
        lines = trace.read_text().splitlines()
        # Before QEMU is executed there is the program that confines it.
        executed = [number for number, line in enumerate(lines) if "execve(" in line and line.endswith("= 0")]
        assert f"{QEMU}" in lines[executed[-1]]
        called += lines[executed[-1] + 1 :]
    opened = {match[1] for line in called if (match := _OPENED.search(line))}
    assert any(name.endswith("replay.bin") for name in opened), "this is no trace of a replay"
    assert {name for name in opened if not name.startswith((*_SYSTEM, str(copied), "/dev/fd/", installed))} == set()
    assert [
        line for line in called if re.search(r"\b(socket|connect|bind|listen|execve|execveat|v?fork)\(.*= \d", line)
    ] == []
