"""What a page shows is told from what it does not show: else no page could be wrong."""

from __future__ import annotations

from tests.docs.compared import Numbers


def same(shown: str, printed: str, numbers: Numbers | None = None) -> bool:
    return (numbers or Numbers()).same(shown.splitlines(), printed.splitlines())


def test_words_and_small_numbers_are_compared() -> None:
    assert same("#0  halt () at machine.c:145", "#0  halt () at machine.c:145")
    assert not same("#0  halt () at machine.c:145", "#0  halt () at machine.c:146")
    assert not same("New value = 12", "New value = 13")
    assert not same("one\ntwo", "one")
    assert not same("one", "one\ntwo")


def test_measures_are_not() -> None:
    assert same("24 probes, 1.6 s, 2.1 MB (74.5%)", "23 probes, 812.0 ms, 640.0 kB (9%)")
    assert not same("24 probes", "24 questions")
    assert same("09:33:58.207 up", "23:01:02.000 up")


def test_a_position_is_the_same_wherever_it_is_shown() -> None:
    numbers = Numbers()
    assert same("8,648,192 of 8,648,192", "77 of 77", numbers)
    assert numbers.typed("seek 8,648,192") == "seek 77"
    assert numbers.typed("seek 18,648,192") == "seek 18,648,192"
    assert not same("up to 8,648,192", "up to 78", numbers)
    assert same("up to 8,648,192:1", "up to 78:1", numbers), "a phase makes it another one"
    assert not same("6,000 of 6,000", "77 of 78")


def test_what_is_left_out() -> None:
    assert same("a\n...\nz", "a\nb\nc\nz")
    assert same("a\n...", "a")
    assert not same("a\n...\ny", "a\nb\nc\nz")
    assert same('frame (text=..., "n")', 'frame (text=0x10079a "run", "n")')
