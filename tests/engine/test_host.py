"""What else may go wrong on the host while a recording is open: no room, another log, a clock that jumps."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.errors import HostError, LinkError, Stalled
from rrdbg.links.process_state import is_stopped
from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.position import START
from rrdbg.store import timeline_file
from tests.cli.test_record import wait_until
from tests.engine.conftest import Run
from tests.oracle import Oracle
from tests.recordings import fresh_copy


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "timeline.json")


def test_without_room_for_the_timeline_travel_goes_on(
    run: Run[Any], replay: Replay, busy: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        monkeypatch.setattr(timeline_file, "write_atomically", no_room)
        await replay.seek(busy[100].position)
        with pytest.raises(HostError, match=r"No space left on device \(timeline.json\)\. Free some space"):
            replay.bookmark("here", Bookmark(replay.position, ""))
        stop = await replay.reverse_stepi(50)
        assert (stop.position, stop.pc) == (busy[50].position, busy[50].pc)
        await replay.close()

    run(check())


def test_without_room_for_a_machine_the_cursor_stays(
    run: Run[Any], replay: Replay, busy: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        await replay.seek(busy[100].position)
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "copyfile", no_room)
            with pytest.raises(HostError, match="Cannot start a QEMU at 0: No space left"):
                await replay.seek(START)
            assert replay.position == busy[100].position
            assert (await replay.registers()) == busy.registers(100)
        assert (await replay.seek(busy[10].position)).pc == busy[10].pc

    run(check())


def test_a_stopped_qemu_is_told_of_at_once_and_replaced(run: Run[Any], replay: Replay, busy: Oracle) -> None:
    async def check() -> None:
        await replay.seek(busy[100].position)
        pid = (await replay.machine()).process.pid
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(pid))
        with pytest.raises(Stalled, match=rf"QEMU \(pid {pid}\) was stopped by a signal.*travel again"):
            await replay.stepi()
        assert replay.position == busy[100].position
        assert (await replay.stepi()).pc == busy[101].pc
        assert not Path(f"/proc/{pid}").exists()

    run(check())


def test_a_log_that_is_exchanged_meanwhile(
    run: Run[Any], replay: Replay, busy: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a recording is opened its checksum tells; later a QEMU finds out that it cannot follow."""
    monkeypatch.setattr("rrdbg.links.watchdog.PATIENCE_SECONDS", 1.0)

    async def check() -> None:
        log = replay.recording.layout.log
        await replay.seek(busy[100].position)
        whole = log.read_bytes()
        log.write_bytes(whole[: len(whole) // 4] + bytes(len(whole) - len(whole) // 4))
        with pytest.raises(LinkError):
            await replay.seek(replay.timeline.end)
        assert replay.position == busy[100].position
        log.write_bytes(whole)
        assert (await replay.seek(busy[200].position)).pc == busy[200].pc

    run(check())


def test_a_clock_that_jumps_disturbs_nothing(
    run: Run[Any], replay: Replay, busy: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All waiting is by the monotonic clock."""
    jumps = itertools.cycle((1e9, 2e9, 0.0, 4e9))
    monkeypatch.setattr(time, "time", lambda: next(jumps))

    async def check() -> None:
        for index in (100, 2000, 50):
            assert (await replay.seek(busy[index].position)).pc == busy[index].pc
        assert (await replay.reverse_stepi()).pc == busy[49].pc
        await replay.snapshot("here")

    run(check())


def test_a_directory_that_cannot_be_written_is_only_read(
    run: Run[Any], workload: Path, busy: Oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = fresh_copy(workload, tmp_path / "copy")
    can = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and can(path, mode))

    def content() -> list[tuple[str, int]]:
        return sorted((str(path), path.stat().st_mtime_ns) for path in copy.rglob("*"))

    before = content()

    async def check() -> None:
        async with await Replay.open(copy, spacing=0.01) as replay:
            for index in (2000, 100, 1500):
                assert (await replay.seek(busy[index].position)).pc == busy[index].pc
            assert (await replay.reverse_stepi(20)).pc == busy[1480].pc

    run(check())
    assert content() == before
