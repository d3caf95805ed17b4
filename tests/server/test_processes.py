"""One of three processes of one program has corrupted its variable, and the kernel panics: who was it?

The shell, plain GDB and Python find the same instruction from the panic, from the culprit and from another process.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import rrdbg
from rrdbg.engine.replay import Replay
from rrdbg.errors import RspError
from rrdbg.model.hits.stop import Breakpoint, Watchpoint
from rrdbg.model.timeline.position import START, Position
from tests.cli.conftest import Cli, cli
from tests.guests.build import symbol
from tests.guests.linux.processes import Processes
from tests.recordings import fresh_copy
from tests.server.conftest import debugging

__all__ = ["cli"]

pytestmark = [pytest.mark.matrix, pytest.mark.linux, pytest.mark.timeout(600)]

GOOD, BAD = 0x600D, 0xBAD


@dataclass(frozen=True)
class Crime:
    """``where`` the culprit is after it, where another process is, and the instruction that is to be found."""

    where: Position
    innocent: Position
    write: Position
    space: int


@pytest.fixture(scope="module")
def recording(processes_recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fresh_copy(processes_recording, tmp_path_factory.mktemp("crime") / "crime")


@pytest.fixture(scope="module")
def crime(recording: Path, processes: Processes) -> Crime:
    """Found by the mark that the program passes just before."""
    mark, rounds = (symbol(processes.elf, name).address for name in ("mark_corrupt", "mark_round"))

    async def find() -> Crime:
        async with await Replay.open(recording) as replay:
            async with aclosing(
                replay.scan([Breakpoint(-1, mark), Breakpoint(-2, rounds)], START, replay.timeline.end)
            ) as hits:
                found = [hit async for hit in hits]
            marked = next(hit for hit in found if hit.point.number == -1)
            later = [hit for hit in found if hit.position > marked.position]
            victim = symbol(processes.elf, "victim").address
            await replay.seek(marked.position)
            while await _number(replay, victim) != BAD:
                write = replay.position
                await replay.stepi()
            return Crime(
                [hit.position for hit in later if hit.space == marked.space][-1],
                [hit.position for hit in later if hit.space != marked.space][-1],
                write, marked.space or 0,
            )  # fmt: skip

    return asyncio.run(find())


async def _number(replay: Replay, address: int) -> int | None:
    try:
        return int.from_bytes(await replay.read_memory(address, 8), "little")
    except RspError:
        return None  # the page is not there yet: the write makes the kernel put it there


def test_in_the_shell(recording: Path, processes: Processes, crime: Crime, cli: Cli) -> None:
    # Its disk lies outside of it, which is allowed in a recording of one's own.
    own: dict[str, Any] = {"XDG_STATE_HOME": os.environ["XDG_STATE_HOME"]}
    words = ("replay", str(recording), "--symbols", str(processes.elf), "--batch")
    found = cli(*words, "-ex", f"seek {crime.where}", "-ex", "last victim", "-ex", "writes victim", **own).stdout
    assert re.search(rf"Old value = {GOOD}\n +New value = {BAD}\n{crime.write.icount:,} ", found)
    assert "victim was changed 1 time" in found
    asked = ("-ex", f"seek {crime.innocent}", "-ex", "last victim")
    refused = cli(*words, *asked, check=None, **own)
    assert refused.returncode != 0
    assert "Nothing has changed victim before" in refused.stderr
    assert "1 write in other address spaces is left out" in refused.stderr
    # The shell stands at the end, which is the panic.
    panic = cli(
        *words, "-ex", "writes victim --everywhere", "-ex", "seek @1", "-ex", "last victim --physical", **own
    ).stdout
    assert re.search(rf"@1 +{crime.write.icount:,} .* in another address space, {crime.space:#x}$", panic, re.MULTILINE)
    assert re.search(rf"^{crime.write.icount:,} \(.*\)\n#0 +work .*\n.*victim = 0xbadL;$", panic, re.MULTILINE)
    # What was there before: the page of the program's file, which the kernel has copied by its own address.
    assert "victim is physical 0x" in panic
    assert re.search(rf"Old value = .*\n +New value = {GOOD:#018x}$", panic, re.MULTILINE)


def test_in_gdb(recording: Path, processes: Processes, crime: Crime, tmp_path: Path) -> None:
    async def check() -> None:
        async with debugging(recording, processes.elf, tmp_path) as debugger:
            await debugger.seek(crime.where)
            await debugger.gdb.console("watch victim")
            assert await debugger.move("reverse-continue") == "watchpoint-trigger"
            assert debugger.replay.position == crime.write
            await debugger.seek(crime.innocent)
            await debugger.gdb.console("watch victim")
            assert await debugger.move("reverse-continue") != "watchpoint-trigger"
            assert debugger.replay.position == START
            # From the panic. GDB's own watchpoint would pass it over: the value is the one that it has seen there.
            await debugger.seek(debugger.replay.timeline.end)
            await debugger.gdb.console("monitor address-space everywhere")
            await debugger.gdb.console(f"monitor last *{symbol(processes.elf, 'victim').address:#x}:8")
            assert debugger.replay.position == crime.write

    asyncio.run(check())


def test_in_python(recording: Path, processes: Processes, crime: Crime) -> None:
    with rrdbg.open(recording, symbols=processes.elf) as replay:
        victim = symbol(processes.elf, "victim").address
        replay.seek(crime.where)
        (hit,) = replay.writes(victim, 8)
        assert hit.change
        assert [int.from_bytes(value, "little") for value in (hit.change.before, hit.change.after)] == [GOOD, BAD]
        assert hit.position == crime.write
        replay.seek(crime.innocent)
        assert not list(replay.writes(victim, 8))
        replay.seek("end")
        (hit,) = replay.writes(victim, 8, everywhere=True)
        assert hit.foreign
        assert hit.space == crime.space
        assert hit.position == crime.write
        replay.seek(crime.innocent)
        point = replay.watch(victim, 8)
        assert isinstance(point, Watchpoint)
        assert point.space
        assert replay.reverse_continue().position == START
