"""QEMUs that do not answer, since they have another client or hang, and one that runs and gets nowhere."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.attach import attach
from rrdbg.engine.replay import Replay
from rrdbg.errors import Divergence, LinkError, QemuDied, Stalled
from rrdbg.links import address, attached, watchdog
from rrdbg.model.timeline.position import START, Position
from tests.attach.conftest import REPLAY, HandMade, Qemu, Start
from tests.engine.conftest import Run


@contextmanager
def impatient() -> Iterator[None]:
    """What hangs inside is given up soon; outside a busy host may take its time."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (address, attached):
            patch.setattr(module, "CONNECT_SECONDS", 0.5)
        patch.setattr(attached, "LOAD_SECONDS", 0.5)
        patch.setattr("rrdbg.links.qmp.COMMAND_SECONDS", 1.0)
        yield


def test_qmp_has_another_client(run: Run[Any], handmade: Qemu) -> None:
    async def check() -> None:
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(handmade.qmp)
            other.recv(1)
            with impatient(), pytest.raises(LinkError, match="A QMP socket serves one client"):
                await handmade.attach()
        qemu = await handmade.attach()
        assert await qemu.release() is None

    run(check())


def test_the_gdbstub_has_another_client(run: Run[Any], handmade: Qemu) -> None:
    async def check() -> None:
        qemu = await handmade.attach()
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(handmade.gdb)
            other.sendall(b"$?#3f")
            other.recv(1)
            with impatient(), pytest.raises(LinkError, match="It serves one client: end the GDB"):
                await attach(qemu)
        assert await qemu.release() == 0

    run(check())


def test_a_socket_that_is_none_of_qmp(run: Run[Any], handmade: Qemu) -> None:
    async def check() -> None:
        with impatient(), pytest.raises(LinkError, match="says nothing"):
            await attached.AttachedQemu.connect(
                address.Address.parse(handmade.gdb), address.Address.parse(handmade.gdb)
            )

    run(check())


def test_a_load_that_hangs(run: Run[Any], replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    """As QEMU's does in its deadlock; whatever is asked after that is refused at once."""

    async def check() -> None:
        await replay.seek(Position(1000))
        qmp = (await replay.machine()).qmp
        asked: list[str] = []

        async def hang(line: str) -> None:
            asked.append(line)
            await asyncio.Event().wait()

        monkeypatch.setattr(qmp, "monitor", hang)
        with impatient(), pytest.raises(Stalled, match=r"QEMU \(pid \d+\) hangs: it has not loaded a snapshot within"):
            await replay.seek(START)
        assert replay.position == Position(1000)
        before = len(asked)
        with impatient(), pytest.raises(QemuDied, match=r"hangs; start it again, and attach again"):
            await replay.stepi()
        assert len(asked) == before

    run(check())


def test_a_qemu_that_is_frozen(run: Run[Any], replay: Replay, qemu: Qemu) -> None:
    async def check() -> None:
        await replay.seek(Position(1000))
        os.kill(qemu.process.pid, signal.SIGSTOP)
        with impatient(), pytest.raises(Stalled, match="did not answer"):
            await replay.seek(START)
        assert replay.position == Position(1000)
        with impatient(), pytest.raises(QemuDied, match="hangs; start it again"):
            await replay.stepi()

    run(check())


def test_a_log_of_another_guest(
    run: Run[Any], recorded: HandMade, heapbug_guest: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest stands still where it should print, or take an interrupt, and does not."""
    monkeypatch.setattr(watchdog, "PATIENCE_SECONDS", 1.0)
    words = (*recorded.words[:-1], str(heapbug_guest))
    qemu = start(recorded.directory, *words, "-icount", REPLAY)

    async def check() -> None:
        attached_qemu = await qemu.attach()
        async with await attach(attached_qemu) as replay:
            with pytest.raises(Divergence, match=r"stands still at .* travel again to load a snapshot, and if"):
                await replay.seek(replay.timeline.end)
            assert replay.position == START
            assert (await replay.stepi()).position == Position(1)
        assert await attached_qemu.release() == 1

    run(check())
