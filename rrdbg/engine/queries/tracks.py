"""Everything that is known about a recording, put together as tracks of one timeline; no QEMU is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from rrdbg.errors import RecordingError
from rrdbg.model.size import size_text
from rrdbg.model.timeline.deliveries import Deliveries, Delivery
from rrdbg.model.timeline.events import EventKind
from rrdbg.model.timeline.line import QUERY_HITS, STOPS, WHO_RAN, Timeline
from rrdbg.model.timeline.mark import Mark, gather
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot
from rrdbg.model.timeline.tracks import TimelineTracks, Track, TrackKind, clock_knots, coarser
from rrdbg.store.clock import read_clock
from rrdbg.store.history import Console, counts, history
from rrdbg.store.recording import Recording
from rrdbg.store.switches_file import load_switches


@dataclass(frozen=True, slots=True)
class Detail:
    """How many marks a track has at most: ``bare`` ones, ``worded`` ones with a text, and ``lines`` of the console.

    The picture that is a file is to be small; ``FULL`` is for one that is shown where the recording is.
    """

    bare: int = 15_000
    worded: int = 1_500
    lines: int = 6_000


SMALL = Detail()
FULL = Detail(bare=1_000_000, worded=50_000, lines=100_000)

MOST_TASKS = 16
"""Tasks of a Linux guest that have a track."""

LINE_LENGTH = 160
"""Longer lines of the console are cut."""

_PIECES = 2_000


_NOTES = {
    "snapshots": "none: 'rrdbg index' leaves some",
    "interrupts": "none",
    "exceptions": "none",
    "console": "nothing was printed",
    STOPS: "none yet: where breakpoints and watchpoints stop you is kept",
    QUERY_HITS: "none yet",
    "bookmarks": "none yet: 'bookmark NAME' makes one",
}

_NAMES = {
    EventKind.INPUT: ("input", "input"),
    EventKind.SERIAL: ("serial input", "serial input"),
    EventKind.PACKET: ("packets", "packet"),
    EventKind.BLOCK: ("disk requests", "completion of disk request"),
    EventKind.CLOCK: ("clock reads", "read of the host's clock"),
    EventKind.RANDOM: ("random numbers", "random number"),
    EventKind.AUDIO: ("audio", "audio"),
    EventKind.RESET: ("resets", "reset"),
    EventKind.SHUTDOWN: ("shutdowns", "shutdown"),
}
"""What the tracks of events are called that have no other track: in the plural and in the singular."""


def timeline_tracks(recording: Recording, timeline: Timeline, detail: Detail = SMALL) -> TimelineTracks:
    """Read the log of ``recording`` and put it together with what ``timeline`` knows.

    Tracks hold as many marks as ``detail`` says, however many events there are: neighbours are then one mark.

    :raises LogError: the log is damaged.
    """
    end = timeline.end
    log = recording.layout.log
    clock = read_clock(log, recording.manifest.invocation)
    deliveries = recording.log.deliveries
    found = {item.kind for item in counts(log, end=end)}
    snapshots, *marked = known_tracks(timeline, detail)
    tracks = [
        *who_ran(recording, timeline, detail),
        snapshots,
        _track("interrupts", "interrupt", TrackKind.RATE, _delivered(deliveries, Delivery.INTERRUPT), end, detail.bare),
        _track("exceptions", "exception", TrackKind.RATE, _delivered(deliveries, Delivery.EXCEPTION), end, detail.bare),
        *(_events(recording, kind, end, detail) for kind in _NAMES if kind in found),
        _console(recording, end, detail),
        *marked,
    ]
    return TimelineTracks(
        name=recording.name,
        end=end,
        base=clock.base,
        exact=clock.exact,
        knots=clock_knots(clock, end),
        tracks=tracks,
        speed=coarser(timeline.cost.pieces, _PIECES),
        facts=(
            f"{recording.manifest.invocation.binary} {recording.manifest.qemu_version}",
            f"recorded {recording.manifest.created} UTC",
            recording.manifest.ended,
        ),
    )


def known_tracks(timeline: Timeline, detail: Detail = SMALL) -> list[Track]:
    """What was found and made since the recording: snapshots, stops, query hits, bookmarks."""
    end = timeline.end
    return [
        _track("snapshots", "snapshot", TrackKind.HEIGHTS, map(_snapshot, timeline.snapshots), end, detail.worded),
        *(_marked(timeline, name) for name in dict.fromkeys((STOPS, QUERY_HITS, *timeline.marks)) if name != WHO_RAN),
        _track("bookmarks", "bookmark", TrackKind.MARKS, _bookmarks(timeline), end, detail.worded),
    ]


def _track(name: str, one: str, kind: TrackKind, marks: Iterable[Mark], end: Position, most: int) -> Track:
    return Track(name, one, kind, gather(marks, most, end), _NOTES.get(name, ""))


def _snapshot(snapshot: Snapshot) -> Mark:
    proof = {None: "not proved", True: "proved", False: "NOT SOUND"}[snapshot.sound]
    load = "never loaded" if snapshot.load_seconds is None else f"loads in {snapshot.load_seconds:.2f} s"
    what = f"{snapshot.kind} '{snapshot.name}'" if snapshot.name else str(snapshot.kind)
    return Mark(Position(snapshot.icount), f"{what}: {size_text(snapshot.size)}, {load}, {proof}", snapshot.size)


def _delivered(deliveries: Deliveries, wanted: Delivery) -> Iterator[Mark]:
    for icount, group in groupby(zip(deliveries.icounts, deliveries.kinds, strict=True), lambda pair: pair[0]):
        for phase, (_, kind) in enumerate(group):
            if kind == wanted:
                yield Mark(Position(icount, phase))


def _events(recording: Recording, kind: EventKind, end: Position, detail: Detail) -> Track:
    found = history(recording.layout.log, {kind}, 0, end.icount + 1)
    return _track(
        *_NAMES[kind], TrackKind.MARKS, (Mark(event.position, event.text) for event in found), end, detail.worded
    )


def _console(recording: Recording, end: Position, detail: Detail) -> Track:
    layout = recording.layout
    try:
        lines = Console.read(layout.log, layout.console).lines()
    except RecordingError as error:
        return Track("console", "line", TrackKind.MARKS, (), str(error))
    marks = (Mark(position, text[:LINE_LENGTH]) for position, text in lines)
    return _track("console", "line", TrackKind.MARKS, marks, end, detail.lines)


def who_ran(recording: Recording, timeline: Timeline, detail: Detail = SMALL) -> list[Track]:
    """Who ran: a track for each of a Linux guest's tasks, as far as its switches are known; else one by samples.

    That one says which function was found, or where nothing has a name the privilege level.
    """
    if tasks := list(_tasks(recording, timeline.end, detail)):
        return tasks
    marks = sorted(timeline.marks.get(WHO_RAN, ()), key=lambda mark: mark.position)
    seconds = timeline.cost.seconds(0, timeline.end.icount)
    note = f"not looked at yet: 'info ran' does, in one pass of about {max(seconds, 1):,.0f} s"
    return [Track(WHO_RAN, "function or level that ran, by samples", TrackKind.RUNS, marks, note)]


def _tasks(recording: Recording, end: Position, detail: Detail) -> Iterator[Track]:
    """A track for each of the tasks that ran longest, as far as the guest's switches between them are known."""
    runs: dict[tuple[int, int], list[Mark]] = {}
    lengths: dict[tuple[int, int], int] = {}
    for switch, until in load_switches(recording).runs():
        key = (switch.task.address, switch.task.pid)
        runs.setdefault(key, []).append(Mark(switch.position, str(switch.task), last=until))
        lengths[key] = lengths.get(key, 0) + until.icount - switch.position.icount
    longest = sorted(runs, key=lambda key: lengths[key], reverse=True)[:MOST_TASKS]
    for key in sorted(longest, key=lambda key: runs[key][0].position):
        # A task has its last name for the longest time: the first is its parent's.
        name = runs[key][-1].text
        yield _track(f"task {name}", f"run of {name}", TrackKind.MARKS, runs[key], end, detail.worded)


def _marked(timeline: Timeline, name: str) -> Track:
    marks = sorted(timeline.marks.get(name, ()), key=lambda mark: mark.position)
    return Track(name, name.removesuffix("s"), TrackKind.MARKS, marks, _NOTES.get(name, ""))


def _bookmarks(timeline: Timeline) -> Iterator[Mark]:
    for name, bookmark in sorted(timeline.bookmarks.items(), key=lambda item: item[1].position):
        yield Mark(bookmark.position, f"@{name} {bookmark.note}".rstrip())
