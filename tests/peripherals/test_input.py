"""What a user types while a guest is recorded, on its serial port and its keyboard, is typed again in each replay."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from socket import AF_UNIX, socket

import pytest
from qemu.qmp import QMPClient

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.errors import UsageError
from rrdbg.store.recording import Recording
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.build import QEMU_OPTIONS, build
from tests.peripherals.states import assert_travels

TYPED = b"one\rtwo words\rquit\r"
HEARD = ["one", "two words", "quit"]
UP = b"typed: up\n"
KEYS = ["r", "e", "c"]
SCAN_CODES = ["13", "93", "12", "92", "2e", "ae"]


@pytest.fixture(scope="session")
def guest() -> Path:
    with failing_clearly("typed"):
        return build("typed", GUEST_DIR)


def command(guest: Path, *words: str) -> tuple[str, ...]:
    return ("qemu-system-x86_64", *QEMU_OPTIONS, "-kernel", str(guest), *words)


def heard(recording: Path) -> list[str]:
    return re.findall(r"line '(.*)' at tick", (recording / "console.log").read_text())


async def record(
    words: tuple[str, ...], directory: Path, when_up: Callable[[str], None], last: bytes | None = None
) -> Path:
    """Record until the guest turns itself off; ``when_up`` is called once, with where the user's end is.

    When the guest prints ``last`` it is told to turn itself off.
    """
    printed = bytearray()
    where: list[str] = []

    def console(data: bytes) -> None:
        printed.extend(data)
        if UP in printed and where:
            when_up(where.pop())
        if last and last in printed:
            printed.clear()
            recorder.type(b"quit\r")

    recorder = Recorder(RecordRequest(words, directory, timeout=60), console, on_line=where.append)
    done = await recorder.run()
    assert done.ended == "the guest powered off"
    return directory


@pytest.mark.parametrize("terminal", [False, True])
def test_standard_input(guest: Path, tmp_path: Path, terminal: bool) -> None:
    ours, theirs = pty.openpty() if terminal else os.pipe()[::-1]
    words = [sys.executable, "-m", "rrdbg", "record", "-q", "-o", str(tmp_path / "recording"), "--timeout", "60", "--"]
    process = subprocess.Popen(
        [*words, *command(guest, "-serial", "stdio")],
        env={**os.environ, "RRDBG_DIR": str(tmp_path)}, stdin=theirs, stdout=subprocess.PIPE, start_new_session=True,
        # A terminal is read by the processes in its foreground.
        preexec_fn=(lambda: os.close(os.open(os.ttyname(0), os.O_RDWR))) if terminal else None,
    )  # fmt: skip
    os.close(theirs)
    assert process.stdout
    with closing(process.stdout):
        assert process.stdout.readline() == UP
        os.write(ours, TYPED)
        process.stdout.read()
    assert process.wait(timeout=60) == 0
    os.close(ours)
    assert heard(tmp_path / "recording") == HEARD
    asyncio.run(assert_travels(tmp_path / "recording", (30, 70, 100)))


def test_a_pseudo_terminal(guest: Path, tmp_path: Path) -> None:
    def when_up(where: str) -> None:
        with Path(where).open("wb", buffering=0) as terminal:
            terminal.write(TYPED)

    recording = asyncio.run(record(command(guest, "-serial", "pty"), tmp_path / "recording", when_up))
    assert heard(recording) == HEARD
    asyncio.run(assert_travels(recording, (30, 70, 100)))


def test_a_socket(guest: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    clients = []

    def when_up(where: str) -> None:
        client = socket(AF_UNIX)
        clients.append(client)
        client.connect(where)
        client.sendall(TYPED)

    chardev = ("-chardev", f"socket,id=line,path={path},server=on,wait=off", "-serial", "chardev:line")
    recording = asyncio.run(record(command(guest, *chardev), tmp_path / "recording", when_up))
    with closing(clients[0]) as client:
        assert b"line 'quit'" in b"".join(iter(lambda: client.recv(4096), b""))
    assert heard(recording) == HEARD
    assert not path.exists()
    asyncio.run(assert_travels(recording, (30, 70, 100)))


def test_the_guest_waits_for_a_client(guest: Path, tmp_path: Path) -> None:
    with Recording.open(asyncio.run(_record_for_a_late_client(guest, tmp_path))) as recording:
        assert recording.manifest.ended == "the guest powered off"


async def _record_for_a_late_client(guest: Path, tmp_path: Path) -> Path:
    listening = asyncio.Event()
    words = command(guest, "-serial", f"unix:{tmp_path / 'socket'},server")
    recorder = Recorder(RecordRequest(words, tmp_path / "recording", timeout=60), on_line=lambda _: listening.set())
    recording = asyncio.create_task(recorder.run())
    await listening.wait()
    reader, writer = await asyncio.open_unix_connection(tmp_path / "socket")
    assert await reader.readline() == UP
    writer.write(b"quit\r")
    assert b"line 'quit'" in await reader.read()
    writer.close()
    return (await recording).directory


def test_a_line_that_cannot_be_opened(guest: Path, tmp_path: Path) -> None:
    words = command(guest, "-serial", f"unix:{tmp_path / 'nowhere'}")
    with pytest.raises(UsageError, match="Cannot open the serial port's other end"):
        asyncio.run(Recorder(RecordRequest(words, tmp_path / "recording")).run())
    assert not (tmp_path / "recording").exists()


def test_keys_sent_by_the_users_own_monitor(guest: Path, tmp_path: Path) -> None:
    path = tmp_path / "monitor"
    keys: list[asyncio.Task[None]] = []

    async def press() -> None:
        client = QMPClient("user")
        await client.connect(str(path))
        for key in KEYS:
            await client.execute("send-key", {"keys": [{"type": "qcode", "data": key}], "hold-time": 20})
        await client.disconnect()

    def when_up(_: str) -> None:
        keys.append(asyncio.create_task(press()))

    words = command(guest, "-serial", "stdio", "-qmp", f"unix:{path},server=on,wait=off")
    last = f"key {SCAN_CODES[-1]} at tick".encode()
    recording = asyncio.run(record(words, tmp_path / "recording", when_up, last))
    found = re.findall("key ([0-9a-f]+) at tick", (recording / "console.log").read_text())
    assert found[-len(SCAN_CODES) :] == SCAN_CODES
    asyncio.run(assert_travels(recording, (30, 70, 100)))
