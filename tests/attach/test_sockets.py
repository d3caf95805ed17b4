"""QEMUs that do not answer: since they have another client, or hang."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from typing import Any

import pytest

from rrdbg.engine.attach import attach
from rrdbg.engine.replay import Replay
from rrdbg.errors import LinkError, QemuDied, Stalled
from rrdbg.links import address, attached
from rrdbg.model.position import START, Position
from tests.attach.conftest import Qemu
from tests.engine.conftest import Run


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (address, attached):
        monkeypatch.setattr(module, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(attached, "LOAD_SECONDS", 0.5)
    monkeypatch.setattr("rrdbg.links.qmp.COMMAND_SECONDS", 1.0)


def test_qmp_has_another_client(run: Run[Any], handmade: Qemu) -> None:
    async def check() -> None:
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(handmade.qmp)
            other.recv(1)
            with pytest.raises(LinkError, match="A QMP socket serves one client"):
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
            with pytest.raises(LinkError, match="It serves one client: end the GDB"):
                await attach(qemu)
        assert await qemu.release() == 0

    run(check())


def test_a_socket_that_is_none_of_qmp(run: Run[Any], handmade: Qemu) -> None:
    async def check() -> None:
        with pytest.raises(LinkError, match="says nothing"):
            await attached.AttachedQemu.connect(
                address.Address.parse(handmade.gdb), address.Address.parse(handmade.gdb)
            )

    run(check())


def test_a_load_that_hangs(run: Run[Any], replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    """As QEMU's does in its deadlock; whatever is asked after that is refused at once."""

    async def check() -> None:
        await replay.seek(Position(1000))
        qmp = (await replay.machine()).qmp
        monkeypatch.setattr(qmp, "monitor", lambda line: asyncio.Event().wait())
        with pytest.raises(Stalled, match=r"QEMU \(pid \d+\) hangs: it has not loaded a snapshot within"):
            await replay.seek(START)
        assert replay.position == Position(1000)
        began = time.monotonic()
        with pytest.raises(QemuDied, match=r"hangs; start it again, and attach again"):
            await replay.stepi()
        assert time.monotonic() - began < 0.3

    run(check())


def test_a_qemu_that_is_frozen(run: Run[Any], replay: Replay, qemu: Qemu) -> None:
    async def check() -> None:
        await replay.seek(Position(1000))
        os.kill(qemu.process.pid, signal.SIGSTOP)
        with pytest.raises(Stalled, match="did not answer"):
            await replay.seek(START)
        assert replay.position == Position(1000)
        with pytest.raises(QemuDied, match="hangs; start it again"):
            await replay.stepi()

    run(check())
