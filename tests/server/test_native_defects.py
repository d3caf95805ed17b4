"""What QEMU's own gdbstub does wrong when it goes backwards, one test a defect: our server does it right.

The numbers are those of docs/explanation/why-not-native.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.errors import OutOfRange
from rrdbg.frontends.server.floor import Floor
from rrdbg.frontends.server.stub import Stub
from rrdbg.model.timeline.deliveries import Delivery
from rrdbg.model.timeline.position import START, Position
from tests.guests.build import symbol
from tests.oracle import Oracle
from tests.server.conftest import connecting, debugging, move, rrdbg_gdb, serving

PLACE = 7_000_000


async def test_1_a_breakpoint_one_instruction_back(workload: Path, tmp_path: Path) -> None:
    """``bc`` misses a breakpoint at icount N-1."""
    async with serving(workload, tmp_path) as (replay, address), connecting(address) as client:
        await replay.seek(Position(PLACE))
        place = await replay.pc()
        await replay.seek(Position(PLACE + 1))
        await client.exchange("qSupported:swbreak+;hwbreak+")
        assert await client.exchange(f"Z0,{place:x},1") == b"OK"
        assert await move(client, "bc") == b"T05thread:01;swbreak:;"
        assert replay.position == Position(PLACE)


@pytest.mark.parametrize("offset", [-1, 0, 1])
async def test_1_a_breakpoint_around_a_snapshot(workload: Path, tmp_path: Path, offset: int) -> None:
    """``bc`` misses a breakpoint at icount S-1 for each snapshot S that it crosses."""
    async with serving(workload, tmp_path) as (replay, address), connecting(address) as client:
        await replay.seek(Position(PLACE + offset))
        place = await replay.pc()
        await replay.seek(Position(PLACE))
        await replay.snapshot("crossed")
        # Nothing between is at the same place: the loops of the guest are shorter than this, so look a short way back.
        await replay.seek(Position(PLACE + 4))
        assert await client.exchange(f"Z1,{place:x},1") == b"OK"
        assert await move(client, "bc") == b"T05thread:01;"
        assert replay.position == Position(PLACE + offset)


async def test_2_ten_times_back_on_a_machine_with_default_devices(
    workload_guest: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """``bc`` on x86 with default devices deadlocks in most tries."""
    command = ("qemu-system-x86_64", "-m", "64M", "-kernel", str(workload_guest), "-serial", "stdio")
    recorder = Recorder(RecordRequest(command, tmp_path_factory.mktemp("default") / "recording"))
    recording = (await recorder.run()).directory
    async with serving(recording, tmp_path) as (replay, address), connecting(address) as client:
        await replay.seek(replay.timeline.end)
        entry = symbol(workload_guest, "wait_for_tick").address
        assert await client.exchange(f"Z1,{entry:x},1") == b"OK"
        before = replay.position
        # The guest waits for a tick nine times.
        for _ in range(9):
            assert await move(client, "bc") == b"T05thread:01;"
            assert await replay.pc() == entry
            assert replay.position < before
            before = replay.position
        assert await move(client, "bc") == b"T05thread:01;replaylog:begin;"


async def test_3_the_ends_are_told(workload: Path, tmp_path: Path) -> None:
    """A ``bc`` without a hit ends as a plain T05."""
    async with serving(workload, tmp_path) as (replay, address), connecting(address) as client:
        assert await move(client, "bs") == b"T05thread:01;replaylog:begin;"
        assert await move(client, "c") == b"T05thread:01;replaylog:end;"
        assert replay.position == replay.timeline.end
        assert await move(client, "bc") == b"T05thread:01;replaylog:begin;"


async def test_3_gdb_says_that_the_history_ends(workload: Path, workload_guest: Path, tmp_path: Path) -> None:
    async with debugging(workload, workload_guest, tmp_path) as debugger:
        await debugger.move("stepi 5")
        assert await debugger.move("reverse-continue") == "no-history"
        assert await debugger.move("reverse-stepi") == "no-history"
        assert await debugger.move("continue") == "no-history"


async def test_4_gdb_shows_a_watchpoint_in_reverse(workload: Path, workload_guest: Path, tmp_path: Path) -> None:
    """A reverse watchpoint is a bare T05 after the write, which GDB shows as a SIGTRAP."""
    async with debugging(workload, workload_guest, tmp_path) as debugger:
        await debugger.gdb.console("break do_round if counter == 1500")
        await debugger.move("continue")
        assert await debugger.number("counter") == 1500
        await debugger.gdb.console("delete")
        await debugger.gdb.console("watch counter")
        answer = await debugger.gdb.execute('-interpreter-exec console "reverse-continue"')
        assert "Hardware watchpoint 2: counter\n\nOld value = 1500\nNew value = 1499\n" in answer.text
        assert "SIGTRAP" not in answer.text
        assert await debugger.number("counter") == 1499


@pytest.mark.parametrize(("kind", "told"), [("rwatch", "read-watchpoint"), ("awatch", "access-watchpoint")])
async def test_4_reads_are_watched_both_ways(
    workload: Path, workload_guest: Path, tmp_path: Path, kind: str, told: str
) -> None:
    async with debugging(workload, workload_guest, tmp_path) as debugger:
        await debugger.gdb.console("tbreak do_round if counter == 1500")
        await debugger.move("continue")
        await debugger.gdb.console(f"{kind} counter")
        assert await debugger.move("continue") == f"{told}-trigger"
        forward = debugger.replay.position
        # Back over the access that was just told: GDB stops before it.
        assert await debugger.move("reverse-continue") == f"{told}-trigger"
        assert debugger.replay.position == Position(forward.icount - 1)


async def test_5_back_to_an_interrupt_handler(
    workload: Path, workload_guest: Path, tmp_path: Path, busy: Oracle
) -> None:
    """``bc`` to a breakpoint on an interrupt handler may stop at the interrupted pc."""
    async with debugging(workload, workload_guest, tmp_path) as debugger:
        first = next(i for i, entry in enumerate(busy.entries) if entry.position.phase)
        assert busy.timeline.deliveries.at(busy[first].position.icount) == (Delivery.INTERRUPT,)
        handler = busy[first].pc
        interrupts = [busy[hit].position for hit in busy.hits(handler)]
        await debugger.seek(busy[len(busy) - 1].position)
        await debugger.gdb.console(f"hbreak *{handler:#x}")
        for position in reversed(interrupts):
            assert await debugger.move("reverse-continue") == "breakpoint-hit"
            assert await debugger.number("$pc") == handler
            assert debugger.replay.position == position
        earlier = debugger.replay.position
        assert await debugger.move("reverse-continue") == "breakpoint-hit"
        assert await debugger.number("$pc") == handler
        assert debugger.replay.position < earlier


async def test_6_a_hundred_steps_back_are_two_passes(workload: Path, tmp_path: Path, busy: Oracle) -> None:
    """Each ``bs`` is a load and a replay."""
    async with serving(workload, tmp_path) as (replay, _):
        stub = Stub(Floor(replay), lambda text: None)
        index = len(busy) - 1
        await replay.seek(busy[index].position)
        for _ in range(100):
            index -= 1
            assert await stub.answer(b"bs") == b"T05thread:01;"
            assert replay.position == busy[index].position
        assert stub.window.passes == 2


async def test_6_a_jump_has_the_first_steps_back_ready(workload: Path, tmp_path: Path, busy: Oracle) -> None:
    """The first ``bs`` is a load and a replay, too."""
    async with serving(workload, tmp_path) as (replay, _):
        stub = Stub(Floor(replay), lambda text: None)
        phase = next(i for i, entry in enumerate(busy.entries) if entry.position.phase)
        for index in (phase - 1, phase, phase + 1, phase + 20):
            await replay.seek(START)
            await replay.seek(busy[index].position)
            assert await (await replay.machine()).register_packet() == busy[index].packet
            for back in range(30):
                assert await stub.answer(b"g") == busy[index - back].packet
                assert await stub.answer(b"bs") == b"T05thread:01;"
                assert replay.position == busy[index - back - 1].position
                # What GDB looks at wherever it stops.
                before = busy[index - back - 1]
                stack = busy.layout.stack_pointer(before.packet)
                assert stack is not None
                for packet, length in ((b"m%x,1" % before.pc, 1), (b"m%x,40" % stack, 64)):
                    assert len(await stub.answer(packet) or b"") == 2 * length
            assert replay.machine_position == busy[index].position, "no machine was needed"
        assert stub.window.passes == 0
        with pytest.raises(OutOfRange, match="There is no position"):
            await replay.seek(Position(busy[phase].position.icount, 9))
        assert replay.position < busy[phase].position, "it stays"


async def test_6_false_conditions_stay_here(workload: Path, workload_guest: Path, tmp_path: Path) -> None:
    """A false condition costs GDB a whole ``bc``."""
    async with debugging(workload, workload_guest, tmp_path) as debugger:
        await debugger.seek(debugger.replay.timeline.end)
        await debugger.gdb.console("break do_round if counter == 2")
        await debugger.gdb.console("set debug remote 1")
        answer = await debugger.gdb.execute('-interpreter-exec console "reverse-continue"')
        # The condition is false 2,397 times before it is true; GDB asks once (and once more to step off where it is).
        assert answer.text.count("Sending packet: $bc#") == 1
        await debugger.gdb.console("set debug remote 0")
        assert await debugger.number("counter") == 2


async def test_registers_are_not_stale_after_a_jump(workload: Path, workload_guest: Path, tmp_path: Path) -> None:
    """GDB keeps registers and the stack over a jump that it does not know of; ``rrdbg gdb`` makes it look again."""
    (tmp_path / "commands").write_text(
        "monitor seek 7000000\nprint/x $pc\nbacktrace\nmonitor seek 6990000\nprint/x $pc\nbacktrace\n"
        "reverse-stepi\nstepi\nprint/x $pc\nbacktrace\n"
    )
    lines = await rrdbg_gdb(workload, workload_guest, tmp_path / "commands")
    shown = [number for number, line in enumerate(lines) if line.startswith("$")]
    first, second, third = (lines[start : start + 6] for start in shown)
    assert first[0].split()[-1] != second[0].split()[-1]
    assert second[0].split()[-1] == third[0].split()[-1]
    assert [line for line in second[1:] if line.startswith("#")] == [line for line in third[1:] if line.startswith("#")]
