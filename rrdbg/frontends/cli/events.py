"""``rrdbg events`` and ``rrdbg console``: what the log of a recording tells, without a QEMU."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from rrdbg.frontends.shared.options import add_recording
from rrdbg.model.results import ConsoleLines, EventCounts, Events, Result
from rrdbg.model.timeline.clock import is_time
from rrdbg.model.timeline.events import EventKind, GuestEvent, parse_kind
from rrdbg.model.timeline.position import START, Position, parse_position
from rrdbg.render.json_lines import to_json
from rrdbg.render.text import render
from rrdbg.store.clock import read_clock
from rrdbg.store.history import Console, counts, history
from rrdbg.store.library import Library
from rrdbg.store.pcapng import write_pcapng
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommands."""
    parser = commands.add_parser(
        "events", help="list what came to the guest from outside",
        description="Count the events of a recording, or list those of some kinds: interrupts, input, packets, ...",
    )  # fmt: skip
    add_recording(parser)
    parser.add_argument(
        "--kind", metavar="KIND", action="append", default=[],
        help="list these (may be repeated); without one all are counted",
    )  # fmt: skip
    parser.add_argument("--from", metavar="POSITION", dest="start", default="start", help="from there on")
    parser.add_argument("--to", metavar="POSITION", dest="end", help="up to there")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--pcap", metavar="FILE", help="write the packets that came to the guest, for Wireshark")
    parser.set_defaults(run=run_events)

    parser = commands.add_parser(
        "console", help="print a recording's console",
        description="Print what the guest printed, with the position of each line.",
    )  # fmt: skip
    add_recording(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run_console)


async def run_events(arguments: argparse.Namespace) -> int:
    """Count or list events, as they are read."""
    recording = Recording.peek(Library.default().find(arguments.recording))
    log = recording.layout.log
    if arguments.pcap:
        return _save_packets(recording, arguments)
    start = _position(recording, arguments.start)
    end = None if arguments.end is None else _position(recording, arguments.end)
    if not arguments.kind:
        _show(EventCounts(tuple(counts(log, start, end))), as_json=arguments.json)
        return 0
    end = end or load_timeline(recording).end
    for event in _between(history(log, {*map(parse_kind, arguments.kind)}, start.icount, end.icount + 1), start, end):
        _show(Events((event,)), as_json=arguments.json)
    return 0


def _save_packets(recording: Recording, arguments: argparse.Namespace) -> int:
    """Write the packets that came to the guest to a file."""
    log = recording.layout.log
    start, end = _position(recording, arguments.start), _position(recording, arguments.end or "end")
    clock = read_clock(log, recording.manifest.invocation)
    packets = _between(history(log, {EventKind.PACKET}, start.icount, end.icount + 1), start, end)
    count = write_pcapng(Path(arguments.pcap), packets, clock)
    print(f"Packets that came to the guest, written to {arguments.pcap}: {count:,}.")
    return 0


def _position(recording: Recording, text: str) -> Position:
    timeline = load_timeline(recording)
    if is_time(text):
        clock = read_clock(recording.layout.log, recording.manifest.invocation)
        return clock.read(text, here=START, end=timeline.end)
    return parse_position(text, here=START, end=timeline.end, bookmarks=timeline.places)


def _between(found: Iterator[GuestEvent], start: Position, end: Position) -> Iterator[GuestEvent]:
    return (event for event in found if start <= event.position <= end)


async def run_console(arguments: argparse.Namespace) -> int:
    """Print all lines."""
    layout = Recording.peek(Library.default().find(arguments.recording)).layout
    for line in Console.read(layout.log, layout.console).lines():
        _show(ConsoleLines((line,)), as_json=arguments.json)
    return 0


def _show(result: Result, *, as_json: bool) -> None:
    print(to_json(result) if as_json else render(result))
