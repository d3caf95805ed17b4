"""The page of what was tried: a row for each guest, a column for each QEMU, refusals in rrdbg's words."""

from __future__ import annotations

from pathlib import Path

from tests.guests.build import GuestError
from tests.matrix.boards import BOARDS
from tests.matrix.cells import CELLS, NAMES
from tests.matrix.measured import Measured, load, page, save


def test_what_was_measured_last_is_on_the_page(tmp_path: Path) -> None:
    old = Measured("arm-microbit", "11.1.2", "", 1_000, 8, 200, 150, 10)
    new = Measured("arm-microbit", "11.1.2", "", 1_000, 8, 200, 199, 1, errors=("1 times: stood still",), proved=7)
    assert not new.sound
    for measured in (
        old,
        new,
        Measured("arm-microbit", "7.2.22", "", 1_000, 1, 200, 200, unreached=3),
        Measured("mips-malta", "7.2.22", refused="There is no description."),
    ):
        save(measured, tmp_path)
    assert sorted(load(tmp_path), key=lambda one: (one.guest, one.version))[0] == new
    rows = page(load(tmp_path)).splitlines()
    assert "| guest | what runs | QEMU 7.2.22 | QEMU 11.1.2 |" in rows
    assert (
        "| arm-microbit | two tasks and a timer (`tests/guests/rtos`) "
        "| 200 of 200 exact (3 other places cannot be reached forwards either), from the start "
        "| 199 of 200 exact, 1 at the second try, 7 of 8 snapshots sound |"
    ) in rows
    assert "| mips-malta | nothing | refused: There is no description. | not tried |" in rows


def test_each_board_has_a_command_or_says_what_is_missing(tmp_path: Path) -> None:
    assert len(NAMES) == len(set(NAMES)) == len(CELLS) + len(BOARDS)
    for name, board in BOARDS.items():
        try:
            words = board.command(tmp_path)
        except GuestError as error:
            assert "missing" in str(error), name  # noqa: PT017 - the other way is as good
        else:
            assert words[0].startswith("qemu-system-"), name
