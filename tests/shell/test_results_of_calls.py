"""What ``calls`` shows of results and arguments: as their types are, and on one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rrdbg.commands.tables import _returned
from rrdbg.engine.queries.calls import Call
from rrdbg.model.program.function import NO_VALUE, UNKNOWN
from rrdbg.model.results import Found
from rrdbg.model.shown import on_one_line
from rrdbg.model.timeline.position import Position
from tests.bugs.test_bugs import make_recording
from tests.guests.build import symbol
from tests.shell.conftest import Opened


@pytest.fixture
def wild_write(tmp_path: Path) -> tuple[Path, Path]:
    return make_recording("wild_write", tmp_path)


async def test_results(opened: Opened, wild_write: tuple[Path, Path]) -> None:
    """note() of wild_write is void, read_sensor() an int that note() is called with."""
    elf, recording = wild_write
    async with opened(recording) as user:
        void = [result for result in await user.results("calls note from 99.4% to 99.6%") if isinstance(result, Found)]
        assert len(void) > 2
        assert all(result.fields["returned"] == "" and ")  to main" in result.text for result in void)
        assert not any("does not return" in result.text for result in void)
        given = [
            found for found in await user.results("calls read_sensor from 99.4% to 99.6%") if isinstance(found, Found)
        ]
        # What the one returns the other is called with; of the first and last one may be missing.
        returned = [result.fields["returned"] for result in given]
        taken = [result.fields["value"] for result in void]
        assert taken[1:-1] == returned[returned.index(taken[1]) :][: len(taken) - 2]

        report = symbol(elf, "report").address
        session = user.shell.session
        call = Call(Position(5), 0, 0)
        assert await _returned(session, "%p", call) == "", "it has not returned"
        call.returned, call.end = report, Position(9)
        for form in ("%p", UNKNOWN):
            assert await _returned(session, form, call) == f"{report:#x} <report>"
        assert await _returned(session, NO_VALUE, call) == ""
        assert await _returned(session, "%hhd", call) == str((report & 0xFF ^ 0x80) - 0x80)
        call.returned = symbol(elf, "rounds").address
        assert await _returned(session, "%p", call) == f"{call.returned:#x}", "that is no code"


async def test_a_string_reads_as_gdb_shows_it(opened: Opened, heapbug: Path) -> None:
    async with opened(heapbug) as user:
        found = [known for known in await user.results("calls log_append") if isinstance(known, Found)]
        assert len(found) > 2
        for known in found[:3]:
            text = known.fields["text"]
            assert f", text={text}" in known.text
            await user(f"seek {known.position}")
            assert f"\ntext = {text}\n" in f"{await user('info args')}\n"


@pytest.mark.parametrize(
    ("text", "cell"), [("a\nb\tc", r"a\nb\tc"), ("\x1b]52;c;x\x07\u202e", r"\x1b]52;c;x\x07\u202e"), ("äöü", "äöü")]
)
def test_a_text_stays_on_one_line(text: str, cell: str) -> None:
    assert on_one_line(text) == cell
