"""GDB's watchpoints after a jump: right old values, and no hit passed over.

``counter`` grows by one in each round, so a hit that is reported going back has one less as its new value.
"""

from __future__ import annotations

import re

from tests.extension.conftest import Extended

EARLY, LATE = 7_300_000, 7_800_000


def changes(lines: list[str]) -> list[tuple[int, int]]:
    """The old and new values of the hits that GDB reports."""
    text = "\n".join(lines)
    return [(int(old), int(new)) for old, new in re.findall(r"Old value = (\d+)\nNew value = (\d+)", text)]


async def test_the_old_value_is_that_of_the_cursor(extended: Extended) -> None:
    lines = await extended(
        f"rrdbg seek {LATE}\nwatch counter\nrrdbg seek {EARLY}\nprint counter\nreverse-continue\n"
        f"monitor seek {LATE}\nprint counter\nreverse-continue\n"
    )
    seen = [int(line.partition(" = ")[2]) for line in lines if line.startswith("$")]
    assert changes(lines) == [(value, value - 1) for value in seen]


async def test_a_hit_is_reported_whose_new_value_is_that_of_another_time(extended: Extended) -> None:
    """The value that GDB saw last equals the new one: without being told it would take the hit for none."""
    lines = await extended(
        f"rrdbg seek {EARLY}\nwatch counter\nreverse-continue\nset $place = $rr_icount\n"
        "continue\nset $value = counter\n"
        'eval "rrdbg seek %llu", $place\n'
        "continue\n"
        'printf "%d further on, %d more\\n", $rr_icount - $place, counter - $value\n'
    )
    assert "1 further on, 0 more" in lines


async def test_a_local_variable_is_left_alone_where_it_does_not_exist(extended: Extended) -> None:
    lines = await extended(
        f"rrdbg seek {EARLY}\ntbreak mix\ncontinue\nwatch round\nset $place = $rr_icount\n"
        "rrdbg seek start\necho at the start\\n\ninfo watchpoints\n"
        'eval "rrdbg seek %llu", $place\n'
        "info watchpoints\n"
    )
    assert not any("deleted" in line for line in lines)
    assert sum("watchpoint" in line and "round" in line and "keep y" in line for line in lines) == 2
