"""A guest that QEMU cannot replay is refused before it is recorded, with what its replay does (case F9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from rrdbg.engine.making import trial
from rrdbg.engine.making.recorder import Recorded, Recorder, RecordRequest
from rrdbg.errors import UsageError
from rrdbg.store.logevents import events
from rrdbg.store.logformat import Kind
from tests.cli.conftest import bare_metal
from tests.store.logwriter import encode

NOBODYS_REQUEST = 12345


class Missing(Recorder):
    """Its log says that a disk has answered before the first instruction, and no replay has asked for that.

    So it was with boards whose devices are asked at other moments when a replay begins: QEMU waits for ever.
    """

    async def _finish(self, qemu: str, version: str, seconds: float) -> Recorded:
        log = self._layout.log
        first = next(event.offset for event in events(log) if event.kind is Kind.INSTRUCTION)
        written = log.read_bytes()
        answer = encode(int.from_bytes(written[:4], "big"), Kind.BLOCK, NOBODYS_REQUEST)
        log.write_bytes(written[:first] + answer + written[first:])
        return await super()._finish(qemu, version, seconds)


async def test_f9_a_replay_that_stands_still_at_its_start_is_refused(
    workload_guest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "Recorder", Missing)
    monkeypatch.setattr(trial, "_PATIENCE_SECONDS", 1.0)
    with pytest.raises(UsageError, match=r"does not replay: The replay stands still at 0: .* with --no-check"):
        await trial.check(RecordRequest(bare_metal(workload_guest), tmp_path / "recording"))
    assert not (tmp_path / "recording").exists()


async def test_without_that_answer_it_is_not(workload_guest: Path, tmp_path: Path) -> None:
    await trial.check(RecordRequest(bare_metal(workload_guest), tmp_path / "recording"))
    assert not (tmp_path / "recording").exists()
