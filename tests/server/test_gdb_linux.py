"""GDB on a Linux kernel, with symbols: a random walk in a system call, calls and returns, and Ctrl-C."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.model.timeline.position import Position
from tests.conftest import failing_clearly
from tests.guests.build import symbol
from tests.guests.linux import LinuxGuest, make_symbols
from tests.oracle import Oracle, observe
from tests.server.conftest import connecting, debugging, move, serving
from tests.server.test_gdb_instructions import OPERATIONS, SEED, Walk

pytestmark = [pytest.mark.matrix, pytest.mark.linux, pytest.mark.timeout(900)]

STEPS = 1500


@pytest.fixture(scope="module")
def symbols(linux_guest: LinuxGuest) -> Path:
    with failing_clearly("linux"):
        return make_symbols(linux_guest)


@pytest.fixture(scope="module")
def system_call(linux_recording: Path, symbols: Path) -> tuple[Oracle, int]:
    """A stretch that begins when a program reads a file, and the address of its busiest stack slot."""
    entry = symbol(symbols, "vfs_read").address

    async def find() -> tuple[Position, int]:
        async with await Replay.open(linux_recording) as replay:
            await replay.seek(Position(replay.timeline.end.icount * 9 // 10))
            replay.points.add_breakpoint(entry)
            stop = await replay.cont()
            return stop.position, (await replay.registers())["rsp"]

    start, stack = asyncio.run(find())
    oracle = asyncio.run(observe(linux_recording, start.icount, STEPS, {stack - 8 * n: 8 for n in range(1, 9)}))
    assert oracle[0].pc == entry
    return oracle, max(oracle[0].memory, key=lambda slot: len(oracle.changes(slot)))


async def test_a_random_walk(
    linux_recording: Path, symbols: Path, system_call: tuple[Oracle, int], tmp_path: Path
) -> None:
    oracle, slot = system_call
    async with debugging(linux_recording, symbols, tmp_path) as debugger:
        walk = Walk(debugger, oracle, {f"*(unsigned long *){slot:#x}": slot}, random.Random(SEED))
        await debugger.seek(oracle[0].position)
        done = 0
        while done < OPERATIONS // 5:
            done += await walk.once()


async def test_out_of_a_function_and_back_into_it(
    linux_recording: Path, symbols: Path, system_call: tuple[Oracle, int], tmp_path: Path
) -> None:
    oracle, _ = system_call
    async with debugging(linux_recording, symbols, tmp_path) as debugger:
        await debugger.seek(oracle[0].position)
        assert "vfs_read" in await debugger.gdb.console("info symbol $pc")
        stack = await debugger.number("$rsp")
        # MI gives no reason where GDB knows no type that the function returns.
        await debugger.move("finish")
        assert await debugger.number("$rsp") == stack + 8
        assert await debugger.number("*(unsigned long *)($rsp - 8)") == await debugger.number("$pc")
        await debugger.gdb.console("tbreak vfs_read")
        assert await debugger.move("reverse-continue") == "breakpoint-hit"
        assert debugger.replay.position == oracle[0].position
        # To the call itself.
        assert await debugger.move("reverse-finish") == "end-stepping-range"
        assert debugger.replay.position == Position(oracle[0].position.icount - 1)
        assert await debugger.move("stepi") == "end-stepping-range"
        assert debugger.replay.position == oracle[0].position


async def test_ctrl_c_ends_a_long_search_where_it_began(linux_recording: Path, symbols: Path, tmp_path: Path) -> None:
    async with serving(linux_recording, tmp_path) as (replay, address), connecting(address) as client:
        end = replay.timeline.end
        await replay.seek(end)
        place = symbol(symbols, "_raw_spin_unlock_irqrestore").address
        # Hit hundreds of thousands of times, and never true: the condition is the constant 0.
        assert await client.exchange(f"Z1,{place:x},1;X3,220027") == b"OK"
        searching = asyncio.Event()
        replay.on_progress = lambda _: searching.set()
        client.resume("bc")
        answer = asyncio.create_task(client.stopped())
        async with asyncio.timeout(120):
            await searching.wait()
        assert not answer.done()
        client.interrupt()
        assert (await answer).signal == 2
        assert replay.position == end
        assert await client.exchange(f"z1,{place:x},1") == b"OK"
        assert await move(client, "bs") == b"T05thread:01;"
        assert replay.position == Position(end.icount - 1)
