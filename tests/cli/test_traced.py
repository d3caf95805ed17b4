"""A recording from elsewhere, replayed by a QEMU that is confined and watched: what does it open, connect to, execute?"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import sys
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
    # -D: the traced program keeps the process id that rrdbg knows.
    strace = ("strace", "-D", "-f", "-qq", "-e", f"trace={_CALLS}", "-o")
    script = f'#!/bin/sh\nexec {shlex.join(strace)} {traces}/$$ {shlex.join([*made.prefix, qemu])} "$@"\n'
    (programs / QEMU).write_text(script)
    (programs / QEMU).chmod(0o755)
    return f"{programs}:{os.environ['PATH']}", traces


def test_a_confined_qemu_opens_and_runs_nothing_else(cli: Cli, copied: Path, watched: tuple[str, Path]) -> None:
    path, traces = watched
    told = cli.replay(copied, "seek 50%", "stepi", "rsi", "seek 25%", "info registers rip", PATH=path)
    assert "(25.0%)" in told
    lines = [line for trace in traces.iterdir() for line in trace.read_text().splitlines()]
    # The program in front of QEMU is Python, whose own files come before QEMU is executed.
    by_qemu = [line for line in lines if "qemu" not in line or "execve" not in line]
    allowed = (*_SYSTEM, str(copied), sys.prefix, sys.base_prefix, str(Path(sys.executable).parent), str(Path.cwd()))
    opened = {match[1] for line in by_qemu if (match := _OPENED.search(line))}
    assert any("replay.bin" in name for name in opened), "the trace is none"
    strange = {name for name in opened if not name.startswith((*allowed, "/dev/fd/")) and name.startswith("/")}
    assert strange == set()
    assert not [line for line in lines if re.search(r"\b(connect|bind|listen)\(\d+, \{sa_family=AF_INET", line)]
    executed = {re.sub(r'.*execve\("([^"]*)".*', r"\1", line) for line in lines if "execve(" in line and "= 0" in line}
    assert {Path(name).name for name in executed} <= {QEMU, Path(sys.executable).name}
