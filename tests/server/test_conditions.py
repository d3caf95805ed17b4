"""Conditions that the server evaluates select the hits that GDB selects when it evaluates them itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from rrdbg.model.timeline.position import Position
from tests.server.conftest import Debugger, debugging

CONDITIONS = (
    ("do_round", "counter % 97 == 3"),
    ("do_round", "counter / 7 * 7 == counter && counter > 1300"),
    ("do_round", "ring[counter % 16] & 1 && !(ring[(counter + 1) % 16] & 1)"),
    ("do_round", "(long)ring[3] < 0 && (int)(ring[4] >> 8) > 0"),
    ("do_round", "(short)ring[5] < -20000 || (unsigned char)ring[5] == 7"),
    ("do_round", "*(unsigned short *)&ring[2] < 3000"),
    ("do_round", "ticks * 5 - counter > 0x7fffffffffffffff"),
    ("do_round", "((counter ^ 0x55) << 3 & 0xff) == 8"),
    ("do_round", "-(long)counter % 13 == -5"),
    ("fold", "$rdi % 50 == 1"),
    ("fold", "(int)$rdi > 2500 && $rsp != 0"),
    ("fold", "(value & 63) == 33"),
    ("twist", "$rdi >> 60 == 5"),
)  # fmt: skip


async def stops(debugger: Debugger, how: str, function: str, condition: str, verb: str) -> list[Position]:
    """Where the first two hits are, from a place three quarters on, with ``how`` evaluating."""
    await debugger.seek(Position(6_400_000))
    await debugger.gdb.console(f"set breakpoint condition-evaluation {how}")
    await debugger.gdb.console(f"break {function} if {condition}")
    found = []
    for _ in range(2):
        await debugger.move(verb)
        found.append(debugger.replay.position)
    listed = await debugger.gdb.console("info breakpoints")
    assert ("(target evals)" in listed) == (how == "target")
    return found


@pytest.mark.parametrize(
    ("function", "condition"),
    [pytest.param(*each, marks=[pytest.mark.matrix] if number % 3 else []) for number, each in enumerate(CONDITIONS)],
)
async def test_as_gdb_does(workload: Path, workload_guest: Path, tmp_path: Path, function: str, condition: str) -> None:
    async with debugging(workload, workload_guest, tmp_path) as debugger:
        ours = await stops(debugger, "target", function, condition, "continue")
        assert ours == await stops(debugger, "host", function, condition, "continue")
        assert ours == sorted(ours)
        if function != "twist":
            back = await stops(debugger, "target", function, condition, "reverse-continue")
            assert back == sorted(back, reverse=True)


async def test_a_condition_that_cannot_be_evaluated_is_gdbs_to_explain(
    workload: Path, workload_guest: Path, tmp_path: Path
) -> None:
    async with debugging(workload, workload_guest, tmp_path) as debugger:
        await debugger.seek(Position(6_400_000))
        await debugger.gdb.console("break do_round if *(long *)0xdeadbeef0000 == 1")
        answer = await debugger.gdb.execute('-interpreter-exec console "continue"')
        assert "Cannot access memory at address 0xdeadbeef0000" in answer.text
        assert answer.stopped is not None
        assert answer.stopped["reason"] == "breakpoint-hit"
