"""Queries with GDB's names, and the places that were visited, against what GDB itself finds."""

from __future__ import annotations

from pathlib import Path

from rrdbg.model.timeline.position import Position
from tests.extension.conftest import Extended
from tests.guests.build import symbol

PLACE = 7_300_000


async def test_back_knows_the_stops_of_gdbs_own_movements(extended: Extended) -> None:
    lines = await extended(
        f"rrdbg seek {PLACE}\nwatch counter\nreverse-continue\nset $hit = $rr_icount\n"
        'print $rr_at("counter", 0)\nreverse-continue\nrrdbg back\n'
        'printf "back at the hit: %d\\n", $rr_icount == $hit\nrrdbg back\nrrdbg forward\n'
        'printf "there again: %d\\n", $rr_icount == $hit\nrrdbg back\n'
    )
    assert "back at the hit: 1" in lines
    assert "there again: 1" in lines
    assert extended.replay.position == Position(PLACE)


async def test_the_last_write_is_where_gdbs_watchpoint_stops(extended: Extended) -> None:
    lines = await extended(
        f"rrdbg seek {PLACE}\nwatch counter\nreverse-continue\nset $hit = $rr_icount\ndelete\n"
        f'rrdbg seek {PLACE}\nrrdbg last counter\nprintf "the same: %d\\n", $rr_icount == $hit\n'
        "rrdbg writes counter from -10 to +10\nrrdbg origin counter --depth 1\nrrdbg origin $rsp\n"
    )
    assert any("*0x" in line and " = 0x" in line and line.startswith("@1 ") for line in lines)
    assert any("$rsp is from" in line for line in lines)
    assert "the same: 1" in lines
    assert any("counter" in line or ":8" in line for line in lines if "changed 1 time " in line)
    values = [int(line.split("=")[1]) for line in lines if line.strip().startswith(("Old value", "New value"))]
    before, after = values[-2:]
    assert any(f"  {before} -> {after}  next do_round+" in line for line in lines)


async def test_bisect(extended: Extended) -> None:
    lines = await extended(
        f"rrdbg seek {PLACE}\nset $bound = counter - 1\nwatch counter\nreverse-continue\n"
        "set $hit = $rr_icount\ndelete\n"
        'eval "rrdbg bisect counter > %lu from 60%% to 100%%", $bound\n'
        'printf "the same: %d\\n", $rr_icount == $hit\n'
    )
    assert "the same: 1" in lines
    assert any("holds for the first time" in line for line in lines)


async def test_calls_and_prints_on_the_way(extended: Extended, workload_guest: Path) -> None:
    entry = symbol(workload_guest, "mix").address
    lines = await extended(
        f"rrdbg seek {PLACE}\nbreak *{entry:#x}\nreverse-continue\ndelete\n"
        "rrdbg calls mix from -5 to +50\n"
        'rrdbg tprintf mix,"round is %d of %lu",round,counter from -5 to +5\n'
        'rrdbg tprintf mix if round < 0 || counter == 0,"never" from -5 to +5\n'
        'printf "truth: round is %d of %lu\\n", counter, counter\n'
    )
    truth = next(line.removeprefix("truth: ") for line in lines if line.startswith("truth: "))
    assert any(line.endswith(truth) and not line.startswith("truth") for line in lines)
    assert any("mix was called 1 time " in line for line in lines)
    calls = [line for line in lines if " mix(" in line]
    assert any(f" mix(round={truth.split()[-1]}) " in line and "  to do_round+" in line for line in calls), calls
    assert any("was reached under the condition 0 times" in line for line in lines)


async def test_numbered_times(extended: Extended) -> None:
    lines = await extended(
        f"rrdbg seek {PLACE}\nbreak mix\nreverse-continue\nreverse-continue\nset $second = $rr_icount\ndelete\n"
        f"rrdbg seek {PLACE}\nset $back = $second - $rr_icount\n"
        'eval "rrdbg count mix from %d to +0", $back\neval "rrdbg nth 1 mix from %d", $back\n'
        'printf "the same: %d\\n", $rr_icount == $second\n'
    )
    assert any("is executed 2 times between" in line for line in lines)
    assert "the same: 1" in lines
