"""The bar of long work never insists that there is nothing left to wait for."""

from __future__ import annotations

import io

import pytest

from rrdbg.engine.machines.progress import Progress
from rrdbg.frontends.shared.long_work import Waiting
from rrdbg.frontends.shared.progress import ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_says_0_s_left_for_3_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    shown = Terminal()
    waiting = Waiting(ProgressLine(shown))
    waiting.begin()
    said = {}
    for second in range(1, 12):
        now = 100.0 + second
        done = 5.0 if second < 5 else 9.99
        if second == 10:
            done = 5.0
        shown.seek(0)
        shown.truncate()
        waiting.show(Progress(1000, done, 10.0))
        said[second] = shown.getvalue()
    assert " s left" in said[4]
    assert "0 s left" not in said[4]
    assert all("0 s left" in said[second] for second in (5, 6, 7, 8))
    assert "longer than it seemed" in said[9]
    assert "10 s left" in said[10]
    assert "0 s left" in said[11]
