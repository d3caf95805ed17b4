"""The examples in the documentation of the API, and in its docstrings, do what they say."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from rrdbg.frontends.api import values

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "api.md"


def test_the_page(heapbug: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # GDB breaks long lines at the width that it takes a terminal to have.
    monkeypatch.setenv("COLUMNS", "1000")
    failed, tried = doctest.testfile(
        str(PAGE),
        module_relative=False,
        globs={"path": heapbug},
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    assert failed == 0, "see the output above"
    assert tried > 15


def test_docstrings() -> None:
    assert doctest.testmod(values) == doctest.TestResults(failed=0, attempted=1)
