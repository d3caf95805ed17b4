"""Events and the console, as places of the guest: what the log says is checked against the guest itself."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from rrdbg.commands.help import COMMANDS
from rrdbg.commands.session import Session
from rrdbg.engine.replay import Replay
from rrdbg.errors import OutOfRange, RecordingError, UsageError
from rrdbg.model.results import ConsoleLines, EventCounts, Events, Stopped
from rrdbg.model.timeline.events import EventKind, parse_kind
from rrdbg.model.timeline.position import START, Position
from rrdbg.store.history import Console, counts, describe_packet, history
from rrdbg.store.logevents import CharWrite
from rrdbg.store.logformat import Kind
from rrdbg.store.recording import Recording
from tests.oracle import Oracle
from tests.store.logwriter import LINUX, OLD, Item, write_log


def test_kinds_are_read_by_name_plural_and_beginning() -> None:
    assert parse_kind("interrupt") is parse_kind("interrupts") is parse_kind("int") is EventKind.INTERRUPT
    assert parse_kind("exc") is EventKind.EXCEPTION
    for wrong in ("in", "foo", ""):
        with pytest.raises(UsageError, match="is not a kind of event"):
            parse_kind(wrong)


def test_each_interrupt_is_where_single_stepping_meets_it(workload: Path, busy: Oracle) -> None:
    start, end = busy[0].position, busy[len(busy) - 1].position
    with Recording.open(workload) as recording:
        found = history(recording.layout.log, {EventKind.INTERRUPT}, start.icount, end.icount)
        positions = [event.position for event in found]
    assert positions == [busy[i].position for i in range(len(busy) - 1) if not busy.begins(i)]
    assert positions


def test_what_is_not_asked_for_is_left_out_and_counted(workload: Path) -> None:
    with Recording.open(workload) as recording:
        log = recording.layout.log
        found = {item.kind: item for item in counts(log)}
        for kind, item in found.items():
            listed = list(history(log, {kind}))
            assert len(listed) == item.count
            assert {event.kind for event in listed} == {kind}
            assert (listed[0].position, listed[-1].position) == (item.first, item.last)
        assert found[EventKind.INTERRUPT].count + found[EventKind.EXCEPTION].count == len(recording.log.deliveries)


def test_a_part_is_counted_as_it_is_listed(workload: Path) -> None:
    with Recording.open(workload) as recording:
        log, end = recording.layout.log, recording.manifest.end
        start, stop = Position(end // 3), Position(end // 2)
        for item in counts(log, start, stop):
            listed = [event.position for event in history(log, {item.kind}) if start <= event.position <= stop]
            assert (item.count, item.first, item.last) == (len(listed), listed[0], listed[-1])
            assert [event.position for event in history(log, {item.kind}, start.icount, stop.icount + 1)] == listed


def test_output_is_in_a_range_by_its_place(tmp_path: Path) -> None:
    """The log has it one instruction after the one that writes."""
    log = tmp_path / "log"
    write: list[Item] = [(Kind.INSTRUCTION, 10), (Kind.CHAR_WRITE, CharWrite(1, 1))]
    log.write_bytes(write_log(LINUX, [*write, *write]))
    for start, end, expected in ((0, 10, [9]), (9, 20, [9, 19]), (10, 20, [19]), (10, 19, [])):
        found = [event.position.icount for event in history(log, {EventKind.OUTPUT}, start, end)]
        assert found == expected
        counted = counts(log, Position(start), Position(end - 1))
        assert sum(item.count for item in counted) == len(expected)


async def test_console_lines_are_printed_where_they_are_said_to_be(workload: Path, tmp_path: Path) -> None:
    """At the place of each line the guest is about to write its first character to the serial port."""
    async with await Replay.open(workload) as replay:
        layout = replay.recording.layout
        console = Console.read(layout.log, layout.console)
        lines = list(console.lines())
        assert "\n".join(text for _, text in lines) + "\n" == console.text.decode()
        assert lines[0][1] == "workload: up"
        for position, text in lines:
            await replay.seek(position)
            (_, instruction), *_ = await replay.disassemble(await replay.pc(), 1)
            assert instruction.startswith("outb")
            assert (await replay.registers())["rax"] & 0xFF == ord(text[0])
            assert list(console.lines(position))[-1:] != [(position, text)]
            assert list(console.lines(Position(position.icount + 1)))[-1] == (position, text[0])


async def test_the_commands(workload: Path) -> None:
    async with await Replay.open(workload) as replay:
        session = Session(replay)

        async def run(line: str) -> list[object]:
            return [result async for result in COMMANDS.run(session, line)]

        (summary,) = await run("events")
        assert isinstance(summary, EventCounts)
        interrupts = next(item for item in summary.counts if item.kind is EventKind.INTERRUPT)
        (part,) = await run("events 50% end")
        assert isinstance(part, EventCounts)
        assert 0 < next(item for item in part.counts if item.kind is EventKind.INTERRUPT).count < interrupts.count
        with pytest.raises(UsageError, match="a kind and two positions at most"):
            await run("events start end 50%")
        (listed,) = await run("events interrupt")
        assert isinstance(listed, Events)
        assert len(listed.events) == min(interrupts.count, 50)
        assert listed.more == (interrupts.count > 50)
        places = []
        for _ in range(5):
            _, stop = await run("next-event interrupt")
            assert isinstance(stop, Stopped)
            places.append(stop.stop.position)
        assert places == [event.position for event in listed.events[:5]]
        for place in reversed(places[:-1]):
            await run("previous-event interrupt")
            assert replay.position == place
        await run("seek start")
        with pytest.raises(OutOfRange, match="There is no event of the kind 'interrupt' before 0"):
            await run("previous-event interrupt")
        with pytest.raises(OutOfRange, match="There is no event of the kind 'packet' after"):
            await run("next-event packet")

        await run('seek console "counter=1200"')
        (shown,) = await run("console 1")
        assert isinstance(shown, ConsoleLines)
        assert shown.lines[0][1].startswith("tick ")
        assert "counter" not in shown.lines[0][1]
        await run("console --follow")
        (stop,) = await run("seek +100000")
        assert isinstance(stop, Stopped)
        assert stop.printed.startswith("counter=1200\n")
        results = await run("seek console workload: up")
        assert "this is the first time" in str(results[0])
        with pytest.raises(OutOfRange, match="The guest never prints 'nonsense'"):
            await run("seek console nonsense")


def test_a_console_that_shares_the_log_is_refused(tmp_path: Path) -> None:
    log, captured = tmp_path / "log", tmp_path / "console"
    log.write_bytes(write_log(LINUX, [(Kind.INSTRUCTION, 7), (Kind.CHAR_WRITE, CharWrite(1, 1))]))
    captured.write_bytes(b"ab")
    with pytest.raises(RecordingError, match="the guest wrote 1 bytes, and its console has 2"):
        Console.read(log, captured)


def test_find_goes_on_from_where_it_is() -> None:
    console = Console(b"one two one", [(icount, 1) for icount in range(100, 111)])
    assert console.find("one", START) == Position(100)
    assert console.find("one", Position(100)) == Position(108)
    assert console.find("one", Position(108)) is None
    assert console.between(Position(104), Position(107)) == "two"


def test_packets_in_words() -> None:
    ethernet = bytes.fromhex("525400123456525500000001")
    ipv4 = bytes.fromhex("08004500005400000000400100000a0002020a00020f")
    assert describe_packet(ethernet + ipv4) == "34 bytes, ICMP 10.0.2.2 > 10.0.2.15"
    assert describe_packet(ethernet + b"\x08\x06") == "14 bytes, ARP 52:55:00:00:00:01 > 52:54:00:12:34:56"
    assert describe_packet(b"abc") == "3 bytes"


def test_s5_a_log_that_claims_to_have_written_two_gigabytes(log: Callable[[bytes], Path], tmp_path: Path) -> None:
    """16 GB were allocated for it; now no more than the console that there is has."""
    captured = tmp_path / "console.log"
    captured.write_bytes(b"hello\n")
    path = log(write_log(OLD, [(Kind.INSTRUCTION, 5), (Kind.CHAR_WRITE, CharWrite(0x7FFF_FFFF, 0))]))
    tracemalloc.start()
    try:
        with pytest.raises(RecordingError, match="2,147,483,647 bytes"):
            Console.read(path, captured)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()
