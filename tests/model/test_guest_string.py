"""Strings of the guest's, as GDB shows them: what GDB 13.1 prints of the same bytes stands here, but for what turns the
direction of writing.
"""

from __future__ import annotations

import pytest

from rrdbg.model.program.guest_string import GuestString


@pytest.mark.parametrize(
    ("string", "shown"),
    [
        (GuestString(0x10079A, b"run, "), '0x10079a "run, "'),
        (GuestString(0x1000), '0x1000 ""'),
        (GuestString(0x1000, b'say "a\\b"\n\t'), r'0x1000 "say \"a\\b\"\n\t"'),
        (GuestString(0x1000, b"\x1b]0;x\x07\x7f\xff"), r'0x1000 "\033]0;x\a\177\377"'),
        (GuestString(0x1000, "äß".encode()), '0x1000 "äß"'),
        (GuestString(0x1000, "\u202ex".encode()), r'0x1000 "\342\200\256x"'),
        (GuestString(0x1000, b"a" * 200), f'0x1000 "{"a" * 200}"'),
        (GuestString(0x1000, b"a" * 201), f'0x1000 "{"a" * 200}"...'),
        (GuestString(0x1000, b"a" * 1000, whole=False), f'0x1000 "{"a" * 200}"...'),
        (GuestString(0, problem="E14"), "0x0"),
        (GuestString(0x1000, problem="E14"), "0x1000 <error: E14>"),
    ],
)
def test_shown_as_gdb_shows_it(string: GuestString, shown: str) -> None:
    assert str(string) == shown


def test_the_characters_alone() -> None:
    assert GuestString(1, b"a\xff").text == "a\ufffd"
    assert GuestString(1, b"a" * 1000, whole=False).text == "a" * 1000 + "..."
    assert GuestString(1, problem="E14").text == "<E14>"
