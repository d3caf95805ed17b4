"""Text of others is shown, not sent to the terminal (case S7)."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from rrdbg.model.shown import shown


def test_s7_what_a_terminal_obeys_is_written_out() -> None:
    assert shown("a\x1b]52;c;aGk=\x07b") == "a\\x1b]52;c;aGk=\\x07b"
    assert shown("\x9b2J\r\x00\x7f") == "\\x9b2J\\x0d\\x00\\x7f"
    assert shown("\u202etxt.exe") == "\\u202etxt.exe"
    assert shown("lines\n\tand tabs, äöü € 漢") == "lines\n\tand tabs, äöü € 漢"


@given(st.text())
def test_s7_nothing_is_left(text: str) -> None:
    assert not {char for char in shown(text) if unicodedata.category(char) == "Cc"} - set("\n\t")
