"""A recording from elsewhere, replayed by a QEMU that is confined and watched: what it opens, reaches and executes."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from rrdbg.links.confinement import Measure, Reach, confinement, host_measures
from rrdbg.links.process import find_qemu
from tests.cli.conftest import QEMU, Cli

_CALLS = "openat,open,creat,execve,execveat,connect,bind,listen,fork,vfork"
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
def watched(copied: Path, tmp_path: Path) -> tuple[str, Path]:
    """A folder for the front of PATH, with a QEMU that is confined and traced, and where its traces come to lie."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed.")
    host = asyncio.run(host_measures())
    if Measure.LANDLOCK not in host:
        pytest.skip("This host's kernel has no Landlock.")
    qemu = find_qemu(QEMU)
    programs, traces = tmp_path / "programs", tmp_path / "traces"
    programs.mkdir()
    traces.mkdir()
    scratch = copied / "scratch"
    # QEMU 7.2 opens RAM that it maps privately to be written, too, and never does.
    scratch.mkdir(exist_ok=True)
    (copied / "ram").mkdir(exist_ok=True)
    made = confinement(Path(qemu), Reach((copied,), (scratch, copied / "ram")), host)
    # -D: the traced program keeps the process id that rrdbg knows; --seccomp-bpf: no other call stops it.
    strace = ("strace", "-D", "-f", "--seccomp-bpf", "-qq", "-e", f"trace={_CALLS}", "-o")
    script = f'#!/bin/sh\nexec {shlex.join(strace)} {traces}/$$ {shlex.join([*made.prefix, qemu])} "$@"\n'
    (programs / QEMU).write_text(script)
    (programs / QEMU).chmod(0o755)
    return f"{programs}:{os.environ['PATH']}", traces


def test_a_confined_qemu_opens_and_runs_nothing_else(cli: Cli, copied: Path, watched: tuple[str, Path]) -> None:
    path, traces = watched
    installed = str(Path(find_qemu(QEMU)).resolve().parent.parent)  # its libraries and firmware, if it has its own
    told = cli.replay(copied, "seek 50%", "stepi", "rsi", "seek 25%", "info registers rip", PATH=path)
    assert "(25.0%)" in told
    opened: set[str] = set()
    called: list[str] = []
    for trace in traces.iterdir():
        lines = trace.read_text().splitlines()
        # Before QEMU is executed there is the program that confines it.
        executed = [number for number, line in enumerate(lines) if "execve(" in line and line.endswith("= 0")]
        assert len(executed) == 1 or f"{QEMU}" in lines[executed[-1]]
        called += lines[executed[-1] + 1 :]
    opened = {match[1] for line in called if (match := _OPENED.search(line))}
    assert any(name.endswith("replay.bin") for name in opened), "this is no trace of a replay"
    assert {name for name in opened if not name.startswith((*_SYSTEM, str(copied), "/dev/fd/", installed))} == set()
    assert [line for line in called if re.search(r"\b(connect|bind|listen|execve|execveat|v?fork)\(", line)] == []
