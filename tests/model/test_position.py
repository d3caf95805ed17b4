from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrdbg.errors import OutOfRange, RrdbgError, UsageError
from rrdbg.model.timeline.position import START, Position, parse_count, parse_position

END = Position(1_000_000)
HERE = Position(5_000, 1)


def parse(text: str) -> Position:
    return parse_position(text, here=HERE, end=END, bookmarks={"oops": Position(77, 1)})


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("1,234", Position(1_234)),
        ("0x10", Position(16)),
        ("1e5", Position(100_000)),
        ("1.25e3", Position(1_250)),
        ("1_000", Position(1_000)),
        ("1,234:1", Position(1_234, 1)),
        ("50%", Position(500_000)),
        ("100%", END),
        ("+1e3", Position(6_000)),
        ("-3", Position(4_997)),
        ("start", START),
        ("end", END),
        ("@oops", Position(77, 1)),
        (" 7 ", Position(7)),
    ],
)
def test_every_form(text: str, position: Position) -> None:
    assert parse(text) == position


@pytest.mark.parametrize("text", ["", "x", "1.5", "1:x", "@none", "%", "+", "--3", "1e", "0x", "1:-1"])
def test_nonsense(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


@pytest.mark.parametrize("text", ["1000001", "-5001", "101%", "-1%", "+1e6"])
def test_outside(text: str) -> None:
    with pytest.raises(OutOfRange):
        parse(text)


@given(st.integers(0, 10**6), st.integers(0, 3))
def test_what_is_printed_can_be_read(icount: int, phase: int) -> None:
    position = Position(icount, phase)
    if position <= END:
        assert parse(str(position)) == position


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(RrdbgError):
        assert START <= parse(text) <= END


def test_order() -> None:
    assert Position(1) < Position(1, 1) < Position(2)
    assert parse_count("2.5e6") == 2_500_000
