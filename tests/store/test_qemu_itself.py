"""What the reader finds in a log against what the QEMU that wrote it says, without rrdbg between them."""

from __future__ import annotations

import fcntl
import json
import socket
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from rrdbg.model.timeline.events import EventKind
from rrdbg.store.history import history
from rrdbg.store.logevents import events
from rrdbg.store.logformat import LINUX_KEYS, Kind
from rrdbg.store.replaylog import summarise
from tests.guests.build import QEMU_OPTIONS


class Qemu:
    """A QEMU that is spoken to over its standard input and output."""

    def __init__(self, *words: str) -> None:
        command = ("qemu-system-x86_64", *QEMU_OPTIONS, "-display", "none", "-monitor", "none", "-qmp", "stdio", *words)
        self._passed: list[dict[str, Any]] = []
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.until("QMP")
        self.ask("qmp_capabilities")

    def __enter__(self) -> Qemu:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def until(self, *keys: str) -> dict[str, Any]:
        """The next message with one of ``keys``, or the next event of that name (pytest's time limit applies)."""
        assert self._process.stdout
        # An event may come before the answer to the command that made it happen.
        for number, event in enumerate(self._passed):
            if event["event"] in keys:
                return self._passed.pop(number)
        for line in self._process.stdout:
            message: dict[str, Any] = json.loads(line)
            if message.keys() & set(keys) or message.get("event") in keys:
                return message
            self._passed += [message] if "event" in message else []
        raise AssertionError("QEMU ended")

    def ask(self, command: str, **arguments: object) -> Any:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        answer = self.until("return", "error")
        assert "return" in answer, answer
        return answer["return"]

    def wait(self) -> None:
        assert self._process.wait(20) == 0


@pytest.mark.timeout(60)
def test_the_length_is_qemus_count_at_the_end(workload_guest: Path, tmp_path: Path) -> None:
    """After the guest's power-off QEMU stands still, and tells how many instructions it has executed."""
    log, console = tmp_path / "replay.bin", tmp_path / "console"
    words = ("-icount", f"shift=5,rr=record,rrfile={log}", "-net", "none", "-no-shutdown", "-serial", f"file:{console}")
    with Qemu("-kernel", str(workload_guest), *words) as qemu:
        qemu.until("SHUTDOWN")
        qemu.until("STOP")
        counted = qemu.ask("query-replay")
        assert counted["mode"] == "record"
        qemu.ask("quit")
        qemu.wait()
    summary = summarise(log)
    assert summary.total == counted["icount"]
    assert summary.char_writes == console.stat().st_size
    last = list(events(log, (Kind.SHUTDOWN, Kind.END)))
    assert last[-1].icount == counted["icount"]
    assert summary.shutdown
    assert summary.shutdown.cause == "guest-shutdown"


def unread(line: socket.socket) -> int:
    """A measure of what the other side of a unix socket has not read yet (unix(7), SIOCOUTQ)."""
    return int.from_bytes(fcntl.ioctl(line, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def unread_when_one_byte_is() -> int:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(b"x")
        return unread(ours)


@pytest.mark.timeout(60)
def test_what_came_from_outside_is_read_as_it_was_sent(tmp_path: Path) -> None:
    """Keys, a mouse, bytes on a serial port and a reset, sent to a machine that only has its firmware."""
    log, port = tmp_path / "replay.bin", tmp_path / "port"
    key = {"type": "qcode", "data": "ret"}
    sent = (
        {"type": "key", "data": {"key": key, "down": True}},
        {"type": "key", "data": {"key": key, "down": False}},
        {"type": "btn", "data": {"button": "right", "down": True}},
        {"type": "rel", "data": {"axis": "y", "value": -5}},
    )
    # With kvmvapic a reset deadlocks QEMU while it records.
    words = (*("-global", "apic-common.vapic=off", "-net", "none"), "-icount", f"shift=5,rr=record,rrfile={log}")
    with Qemu(*words, "-serial", f"unix:{port},server=on,wait=off") as qemu, socket.socket(socket.AF_UNIX) as line:
        qemu.ask("input-send-event", events=sent)
        line.connect(str(port))
        for byte in b"hello":
            line.send(bytes([byte]))
        while unread(line) >= len(b"hello") * unread_when_one_byte_is():
            qemu.ask("query-replay")  # QEMU reads the line in the same loop
        qemu.ask("system_reset")
        qemu.until("RESET")
        # What was read is logged at one of the next checkpoints, and the firmware begins anew.
        began = qemu.ask("query-replay")["icount"]
        while qemu.ask("query-replay")["icount"] < began + 1_000_000:
            pass
        qemu.ask("quit")
        qemu.wait()
    old = summarise(log).version != LINUX_KEYS
    expected = ["key ret", "key ret"] if old else ["key linux-28", "key linux-28"]
    found = list(history(log, {EventKind.INPUT}))
    assert [event.text for event in found] == [
        f"{expected[0]} down", f"{expected[1]} up", "mouse button right down", "pointer y by -5",
    ]  # fmt: skip
    received = b"".join(event.data for event in history(log, {EventKind.SERIAL}))
    assert received
    assert b"hello".startswith(received), "the rest was on its way when QEMU quit"
    resets = list(history(log, {EventKind.RESET}))
    assert resets
    assert resets[0].position >= found[-1].position
