"""Conditions with GDB's own functions of strings are handed to the server; of others it is said what they cost."""

from __future__ import annotations

import re
from pathlib import Path

from tests.extension.conftest import Extended
from tests.server.conftest import serving

TELL = 'printf "at %llu\\n", $rr_icount\n'


async def test_string_functions_are_judged_by_the_server(
    heapbug_recording: Path, heapbug_guest: Path, program: str, tmp_path: Path
) -> None:
    async with serving(heapbug_recording, tmp_path) as (replay, address):
        gdb = Extended(replay, address, program, heapbug_guest, tmp_path)
        listed = await gdb('rrdbg tprintf log_append,"<%s>",text\n')
        found = [match for line in listed if (match := re.match(r"@\d+ +([0-9,]+)  <(.*)>$", line))]
        positions = [int(match[1].replace(",", "")) for match in found]
        assert len(found) > 5
        assert {match[2] for match in found} == {"run, "}
        condition = '$_streq(text, "run, ")'
        # GDB compiles for the mode that the CPU is in, and at the start that is real mode.
        lines = await gdb(
            "rrdbg seek 0\ntbreak log_append\ncontinue\n"
            f"break log_append if {condition}\ncontinue\n{TELL}continue\n{TELL}"
            f"info breakpoints\nreverse-continue\n{TELL}delete\n"
            f"rrdbg count log_append if {condition} && $_strlen(text) == 5 && $cr3 != 1\n"
            'rrdbg count log_append if $_streq("run", text)\n'
            f"rrdbg nth 2 log_append if {condition}\n{TELL}"
            'break log_append if $_regex(text, "nothing")\n'
        )
        _, second, third = positions[:3]
        assert [line for line in lines if line.startswith("at ")] == [
            f"at {second}", f"at {third}", f"at {second}", f"at {second}",
        ]  # fmt: skip
        assert any("target evals" in line for line in lines)
        assert any(f"executed {len(positions)} times" in line for line in lines)
        assert any("executed 0 times" in line for line in lines)
        assert any("Only GDB can judge $_regex: it stops at each hit" in line for line in lines)
