"""Without the extra that a page needs, one sentence says so."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from rrdbg.errors import UsageError
from rrdbg.frontends.cli.main import main
from rrdbg.frontends.cli.web import SessionPage

SENTENCE = "A page needs a web server: pip install 'rrdbg[web]' installs it."


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
async def test_what_is_missing_is_said(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    runner: Any = SimpleNamespace(replay=SimpleNamespace(recording=SimpleNamespace(own=True)))
    with pytest.raises(UsageError) as caught:
        await SessionPage(runner, None).switch(True)
    assert str(caught.value) == SENTENCE


def test_it_is_said_before_anything_is_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["web", "no-such-recording"]) == UsageError.exit_code
    assert capsys.readouterr().err == f"rrdbg: {SENTENCE}\n"
