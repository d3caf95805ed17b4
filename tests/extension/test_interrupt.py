"""Ctrl-C at GDB's terminal, in movements that take seconds: on Linux."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.extension.conftest import SCRIPT
from tests.recordings import fresh_copy

PROMPT = r"(\d+)% ([\d,]+) \(gdb\) "


@pytest.mark.linux
def test_the_guest_stops_where_gdb_says(linux_recording: Path, program: str, tmp_path: Path) -> None:
    copy = fresh_copy(linux_recording, tmp_path / "linux")
    gdb: Any = pexpect.spawn(
        program,
        ["-q", "-nx", "-ex", "set pagination off", "-ex", "set confirm off", "-ex", "set style enabled off",
         "-ex", f"source {SCRIPT}", "-ex", f"set rrdbg program {sys.executable} -m rrdbg",
         "-ex", "set rrdbg prompt on"],
        encoding="utf-8", timeout=60, dimensions=(50, 200),
    )  # fmt: skip
    try:
        gdb.expect(r"\(gdb\) ")
        gdb.sendline(f"rrdbg open {copy}")
        gdb.expect("the cursor is at 0.")
        gdb.expect(PROMPT)
        # A command of ours: at once, and with the position.
        gdb.sendline("rrdbg seek 90%")
        gdb.expect(r"\d% done after \d+ s; Ctrl-C stops")
        gdb.sendintr()
        gdb.expect(r"Interrupted at ([\d,]+)\.")
        stopped = match(gdb)
        gdb.expect(PROMPT)
        assert match(gdb, 2) == stopped  # 0 if a machine was still being started
        assert evaluated(gdb, "$rr_icount") == stopped
        # A monitor command, which GDB leaves without telling the server.
        gdb.sendline("monitor seek 95%")
        gdb.expect(r"done \(Ctrl-C stops\)")
        gdb.sendintr()
        gdb.expect("Quit")
        gdb.expect(PROMPT)
        left = match(gdb, 2)
        assert evaluated(gdb, "$rr_icount") == left
        # GDB and the guest understand each other, and agree on where it stands.
        gdb.sendline("stepi")
        gdb.expect(PROMPT)
        assert match(gdb, 2) in (left, left + 1)
        pc = evaluated(gdb, "$pc")
        gdb.sendline("rrdbg when")
        gdb.expect(r"%\)\s+0x([0-9a-f]+)")
        assert int(str(gdb.match[1]), 16) == pc
        gdb.expect(PROMPT)
        # Of memory GDB says only that it cannot be accessed (C4); once is enough.
        gdb.sendline("set var *(char *) $sp = 1")
        gdb.expect("Cannot access memory")
        gdb.expect("'monitor what-if on' starts one that can be changed")
        gdb.expect(PROMPT)
        gdb.sendline('printf "now\\n"')
        gdb.expect(r"now\r\n(.*?)" + PROMPT)
        assert "what-if" not in str(gdb.match[1])
        gdb.sendline("quit")
        gdb.expect(pexpect.EOF)
    finally:
        gdb.close(force=True)


def match(gdb: Any, group: int = 1) -> int:
    """The count that was printed."""
    assert isinstance(gdb.match, re.Match)
    return int(str(gdb.match[group]).replace(",", ""))


def evaluated(gdb: Any, expression: str) -> int:
    """The value of an expression, as an unsigned number."""
    gdb.sendline(f'printf "value=%llu\\n", (unsigned long long) {expression}')
    gdb.expect(r"value=(\d+)")
    value = match(gdb)
    gdb.expect(PROMPT)
    return value
