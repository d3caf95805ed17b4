"""What the reader finds in a log against what the QEMU that wrote it says, without rrdbg between them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rrdbg.store.logevents import events
from rrdbg.store.logformat import Kind
from rrdbg.store.replaylog import summarise
from tests.guests.build import QEMU_OPTIONS


class Qemu:
    """A QEMU that is spoken to over its standard input and output."""

    def __init__(self, *words: str) -> None:
        command = ("qemu-system-x86_64", *QEMU_OPTIONS, "-display", "none", "-monitor", "none", "-qmp", "stdio", *words)
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
        for line in self._process.stdout:
            message: dict[str, Any] = json.loads(line)
            if message.keys() & set(keys) or message.get("event") in keys:
                return message
        raise AssertionError("QEMU ended")

    def ask(self, command: str) -> Any:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"execute": command}) + "\n")
        self._process.stdin.flush()
        return self.until("return")["return"]

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
