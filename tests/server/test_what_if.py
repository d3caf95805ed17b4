"""What-if: the guest may be changed and run freely, and the recording knows nothing of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rrdbg.errors import GdbError
from rrdbg.model.timeline.position import Position
from tests.oracle import Oracle
from tests.server.conftest import connecting, debugging, move, rrdbg_gdb, serving

PLACE = Position(7_000_000)


async def test_writes_are_refused_by_default(workload: Path, workload_guest: Path, tmp_path: Path) -> None:
    async with debugging(workload, workload_guest, tmp_path) as debugger:
        await debugger.seek(PLACE)
        with pytest.raises(GdbError, match="nothing can be changed; 'monitor what-if on'"):
            await debugger.gdb.console("set var $rax = 1")
        # GDB has a sentence of its own for memory, and drops ours; it is told again where GDB shows what it is told.
        for line in ("stepi", "monitor when", "reverse-stepi"):
            with pytest.raises(GdbError, match="Cannot access memory"):
                await debugger.gdb.console("set var counter = 1")
            for repeated in (False, True):
                told = (await debugger.gdb.execute(f'-interpreter-exec console "{line}"')).text
                assert ("memory was not written. The guest is a recording" in told) is not repeated, told


async def test_a_changed_guest_runs_on_and_leaves_the_recording_alone(
    workload: Path, workload_guest: Path, tmp_path: Path
) -> None:
    async with debugging(workload, workload_guest, tmp_path) as debugger:
        await debugger.seek(PLACE)
        registers = await debugger.gdb.console("info registers")
        before = await debugger.number("counter")
        assert "What-if from 7,000,000." in await debugger.gdb.console("monitor what-if on")
        await debugger.look_again()
        assert await debugger.gdb.console("info registers") == registers
        await debugger.gdb.console("set var counter = 2390")
        await debugger.gdb.console("set var $rbx = 77")
        assert await debugger.number("$rbx") == 77
        await debugger.gdb.console("tbreak do_round if counter == 2395")
        assert await debugger.move("continue") == "breakpoint-hit"
        assert await debugger.number("counter") == 2395
        await debugger.gdb.console("watch counter")
        assert await debugger.move("continue") == "watchpoint-trigger"
        assert await debugger.number("counter") == 2396
        await debugger.gdb.console("delete")
        assert "forward only" in (await debugger.gdb.execute('-interpreter-exec console "reverse-stepi"')).text
        assert "end it first: what-if off" in await debugger.gdb.console("monitor seek 5")
        assert "Back in the recording, at 7,000,000." in await debugger.gdb.console("monitor what-if off")
        await debugger.look_again()
        assert debugger.replay.position == PLACE
        assert await debugger.gdb.console("info registers") == registers
        assert await debugger.number("counter") == before
        await debugger.move("reverse-stepi")
        await debugger.move("stepi")
        assert await debugger.gdb.console("info registers") == registers


async def test_where_an_interrupt_is_being_delivered(
    workload: Path, workload_guest: Path, tmp_path: Path, busy: Oracle
) -> None:
    async with debugging(workload, workload_guest, tmp_path) as debugger:
        entry = next(entry for entry in busy.entries if entry.position.phase)
        await debugger.seek(entry.position)
        place = await debugger.number("$pc")
        assert place == entry.pc
        await debugger.gdb.console("monitor what-if on")
        await debugger.look_again()
        assert await debugger.number("$pc") == place
        await debugger.move("stepi")
        assert await debugger.number("$pc") != place


async def test_a_free_guest_is_interrupted_and_its_end_is_told(
    workload: Path, workload_guest: Path, tmp_path: Path
) -> None:
    async with debugging(workload, workload_guest, tmp_path) as debugger:
        await debugger.seek(PLACE)
        await debugger.gdb.console("monitor what-if on")
        await debugger.look_again()
        code = await debugger.number("*(unsigned short *)$pc")
        await debugger.gdb.console("set var *(unsigned short *)$pc = 0xfeeb")  # a jump to itself
        going = asyncio.create_task(debugger.gdb.execute('-interpreter-exec console "continue"'))
        await debugger.gdb.running()
        debugger.gdb.interrupt()
        stopped = (await going).stopped
        assert stopped is not None
        assert stopped["signal-name"] == "SIGINT"
        assert await debugger.number("*(unsigned short *)$pc") == 0xFEEB
        await debugger.gdb.console(f"set var *(unsigned short *)$pc = {code}")
        await debugger.gdb.console("set var counter = 2399")
        for _ in range(2):
            assert "The guest has ended" in (await debugger.gdb.execute('-interpreter-exec console "continue"')).text
        await debugger.gdb.console("monitor what-if off")


async def test_it_ends_with_the_client(workload: Path, tmp_path: Path) -> None:
    async with serving(workload, tmp_path) as (replay, address):
        async with connecting(address) as client:
            await replay.seek(PLACE)
            await client.monitor("what-if on")
            assert await client.exchange("M100,1:00") == b"OK"
            assert await client.exchange("D") == b"OK"
        async with connecting(address) as client:
            assert await move(client, "bs") == b"T05thread:01;"
            assert (await client.exchange("M100,1:00")).startswith(b"E.")
        assert replay.position == Position(PLACE.icount - 1)


async def test_ctrl_c_between_the_hits_of_a_false_condition(
    workload: Path, workload_guest: Path, tmp_path: Path
) -> None:
    """GDB judges it here, stops and goes on some hundred times a second: most Ctrl-Cs meet a guest that stands."""
    async with debugging(workload, workload_guest, tmp_path) as debugger:
        await debugger.seek(PLACE)
        await debugger.gdb.console("monitor what-if on")
        await debugger.look_again()
        await debugger.gdb.console("break twist if $rsp == 1")
        for _ in range(10):
            await debugger.gdb.console("set var counter = 1")
            going = asyncio.create_task(debugger.gdb.execute('-interpreter-exec console "continue"'))
            await debugger.gdb.running()
            debugger.gdb.interrupt()
            stopped = (await asyncio.wait_for(going, 60)).stopped
            assert stopped is not None
            assert stopped["signal-name"] == "SIGINT"


async def test_as_a_setting_of_gdbs(workload: Path, workload_guest: Path, tmp_path: Path) -> None:
    """``rrdbg gdb`` gives GDB ``set rrdbg what-if``, after which it looks at the guest anew."""
    (tmp_path / "commands").write_text(
        "monitor seek 7000000\nprint $rax\nset rrdbg what-if on\nset var $rax = 77\nprint $rax\nset rrdbg what-if off\n"
        "print $rax\nhelp set rrdbg what-if\n"
    )
    lines = await rrdbg_gdb(workload, workload_guest, tmp_path / "commands")
    values = [line.split()[-1] for line in lines if line.startswith("$")]
    assert values[1] == "77"
    assert values[0] == values[2] != "77"
    assert any("thrown away" in line for line in lines)
