"""QEMUs that nobody but the test has started, by command lines that nobody but the test has written."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pytest

from rrdbg.engine.attach import attach
from rrdbg.engine.replay import Replay
from rrdbg.links.address import Address
from rrdbg.links.attached import AttachedQemu
from rrdbg.store.manifest import Manifest
from tests.cli.conftest import cli
from tests.engine.conftest import Run, run

__all__ = ["cli", "run"]

SAFE = ("-machine", "hpet=off", "-global", "apic-common.vapic=off", "-rtc", "base=2026-11-22T10:00:00,clock=vm")
PLAIN = ("-m", "16M", "-nodefaults", "-display", "none", "-monitor", "none", "-no-shutdown")
STATE = ("-drive", "if=none,id=state,file=state.qcow2,format=qcow2")
REPLAY = "shift=1,rr=replay,rrfile=replay.bin,rrsnapshot=init"
START_SECONDS = 60


@dataclass(frozen=True)
class Qemu:
    """One of the user's: it works in ``directory``, and listens at ``qmp``, ``qmp2`` and ``gdb`` there."""

    process: subprocess.Popen[bytes]
    directory: Path

    @property
    def qmp(self) -> str:
        return str(self.directory / "qmp")

    @property
    def qmp2(self) -> str:
        return str(self.directory / "qmp2")

    @property
    def gdb(self) -> str:
        return str(self.directory / "gdb")

    async def attach(self) -> AttachedQemu:
        return await AttachedQemu.connect(Address.parse(self.qmp), Address.parse(f"unix:{self.gdb}"))

    def words(self, *commands: str) -> tuple[str, ...]:
        """A command line of rrdbg's that attaches and runs ``commands`` in a batch."""
        work = (word for command in commands for word in ("-ex", command))
        return ("attach", "--qmp", self.qmp, "--gdb", self.gdb, "--batch", *work)


Start = Callable[..., Qemu]


@dataclass(frozen=True)
class Monitor:
    """A QMP connection that has nothing of rrdbg's."""

    lines: TextIO

    def __call__(self, command: str, **arguments: object) -> Any:
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.lines.flush()
        while "return" not in (answer := json.loads(self.lines.readline())):
            assert "event" in answer, answer
        return answer["return"]


@contextmanager
def monitor(qemu: Qemu) -> Iterator[Monitor]:
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(qemu.qmp2)
        with end.makefile("rw") as lines:
            assert "QMP" in lines.readline()
            ask = Monitor(lines)
            ask("qmp_capabilities")
            yield ask


def stands_at(qemu: Qemu) -> int:
    """The icount of a QEMU, which must be stopped."""
    with monitor(qemu) as ask:
        assert not ask("query-status")["running"]
        return int(ask("query-replay")["icount"])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a QEMU in a directory with ``words``, stopped, and wait until it listens; it is killed after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(directory: Path, *words: str) -> Qemu:
        command = (
            "qemu-system-x86_64", *words, "-S",
            "-qmp", "unix:qmp,server=on,wait=off", "-qmp", "unix:qmp2,server=on,wait=off",
            "-gdb", "unix:gdb,server=on,wait=off",
        )  # fmt: skip
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, start_new_session=True)
        started.append(process)
        qemu = Qemu(process, directory)
        deadline = time.monotonic() + START_SECONDS
        # QEMU makes the gdbstub's socket last.
        while not Path(qemu.gdb).exists():
            assert process.poll() is None, "QEMU did not start"
            assert time.monotonic() < deadline, "QEMU does not listen"
            time.sleep(0.01)
        return qemu

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def qemu(workload: Path, workload_guest: Path, tmp_path: Path, start: Start) -> Qemu:
    """A QEMU that replays what rrdbg has recorded of workload, so that its oracles hold."""
    manifest = Manifest.read(workload / "manifest.json")
    shutil.copy(workload / "snapshots" / "initial.qcow2", tmp_path / "state.qcow2")
    shift, clock, log = manifest.invocation.shift, manifest.invocation.clock_base, workload / "replay.bin"
    return start(
        tmp_path, *PLAIN, *STATE, "-serial", "null", "-nic", "none", "-kernel", str(workload_guest),
        "-machine", "hpet=off", "-global", "apic-common.vapic=off", "-rtc", f"base={clock},clock=vm",
        "-icount", f"shift={shift},rr=replay,rrfile={log},rrsnapshot={manifest.initial_tag}",
    )  # fmt: skip


@pytest.fixture
def replay(qemu: Qemu, run: Run[Any]) -> Iterator[Replay]:
    """A replay in :func:`qemu`."""

    async def open_replay(stack: AsyncExitStack) -> Replay:
        attached = await qemu.attach()
        stack.push_async_callback(attached.release)
        return await stack.enter_async_context(await attach(attached))

    stack = AsyncExitStack()
    yield run(open_replay(stack))
    run(stack.aclose())


@pytest.fixture(scope="session")
def by_hand(tmp_path_factory: pytest.TempPathFactory, workload_guest: Path) -> Path:
    """A directory with a recording of workload that QEMU alone has made: state.qcow2, replay.bin, console.log."""
    directory = tmp_path_factory.mktemp("by-hand")
    subprocess.run(("qemu-img", "create", "-q", "-f", "qcow2", "state.qcow2", "1G"), cwd=directory, check=True)
    words = [word for word in PLAIN if word != "-no-shutdown"]
    hand_made = "shift=1,rr=record,rrfile=replay.bin,rrsnapshot=init"
    subprocess.run(
        ("qemu-system-x86_64", *words, *STATE, *SAFE, "-serial", "file:console.log", "-kernel", str(workload_guest),
         "-icount", hand_made),
        cwd=directory, check=True, timeout=60,
    )  # fmt: skip
    return directory


@dataclass(frozen=True)
class HandMade:
    """A copy of that recording in ``directory``, and the ``words`` of a QEMU for it but for ``-icount``."""

    directory: Path
    words: tuple[str, ...]


@pytest.fixture
def recorded(by_hand: Path, workload_guest: Path, tmp_path: Path) -> HandMade:
    directory = Path(shutil.copytree(by_hand, tmp_path / "by-hand"))
    return HandMade(directory, (*PLAIN, *STATE, *SAFE, "-serial", "null", "-kernel", str(workload_guest)))


@pytest.fixture
def handmade(recorded: HandMade, start: Start) -> Qemu:
    """A QEMU that replays it."""
    return start(recorded.directory, *recorded.words, "-icount", REPLAY)
