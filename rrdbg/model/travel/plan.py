"""What to do to get somewhere: lists of actions worked out from the timeline alone.

A plan is a value: it can be shown, priced and tested without QEMU, and thrown away. The engine executes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from rrdbg.model.timeline.cost import CostMap
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot
from rrdbg.model.travel.segments import Segment

START_SECONDS = 0.3
"""How long a new QEMU takes, as long as it is not known better."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start a new QEMU on a snapshot, and leave the one we have."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class RunTo:
    """Run freely to a plain icount."""

    icount: int


@dataclass(frozen=True, slots=True)
class StepTo:
    """Single-step to a position."""

    position: Position


Action = Start | RunTo | StepTo
Plan = tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Rates:
    """What moving costs here: seconds for a start and for each stretch run, and single steps a second."""

    start_seconds: float = START_SECONDS
    cost: CostMap = field(default_factory=CostMap)
    steps_per_second: float = 2000.0


def plan_seek(timeline: Timeline, here: Position | None, target: Position, rates: Rates) -> Plan:
    """The cheapest way to ``target``: on from ``here`` if it lies ahead, or from the nearest snapshot.

    The timeline must have a snapshot at icount 0.
    """
    landing = timeline.landing_before(target)
    snapshot = timeline.nearest(landing)
    assert snapshot is not None, "a timeline has an initial snapshot"
    jump = (Start(snapshot), *_forward(Position(snapshot.icount), landing, target))
    if here is None or here > target:
        return jump
    walk = plan_walk(timeline, here, target)
    return min(walk, jump, key=lambda plan: price(plan, here, rates))


def plan_walk(timeline: Timeline, here: Position, target: Position) -> Plan:
    """The way forward from the plain position ``here`` to ``target``, in the machine that stands there."""
    return _forward(here, timeline.landing_before(target), target)


def plan_reverse_scan(timeline: Timeline, here: Position, since: int = 0) -> tuple[Segment, ...]:
    """The segments before ``here``, newest first; together they are all from the plain icount ``since`` up to it.

    The further back, the longer. A segment costs a start, and the one with the hit is scanned from its beginning, half
    of which was on average for nothing. After x seconds of scanning both are least together at ``sqrt(2 * start * x)``.
    """
    seconds = timeline.cost.seconds
    segments = []
    rest: Segment | None = None
    end = here
    for snapshot in reversed(timeline.snapshots):
        start = Position(max(snapshot.icount, since))
        if snapshot.sound is False or not start < end:
            continue
        rest = Segment(snapshot, start, end)
        scanned = seconds(end.icount, here.icount)
        if seconds(start.icount, end.icount) >= math.sqrt(2 * START_SECONDS * scanned):
            segments.append(rest)
            rest, end = None, start
        if snapshot.icount <= since:
            break
    return (*segments, rest) if rest else tuple(segments)


def price(plan: Plan, here: Position | None, rates: Rates) -> float:
    """Estimated seconds for ``plan``, begun at ``here``."""
    seconds = 0.0
    icount = here.icount if here else 0
    for action in plan:
        match action:
            case Start(snapshot):
                seconds += snapshot.load_seconds or rates.start_seconds
                icount = snapshot.icount
            case RunTo(target):
                seconds += rates.cost.seconds(icount, target)
                icount = target
            case StepTo(position):
                seconds += (position.icount - icount + 1) / rates.steps_per_second
                icount = position.icount
    return seconds


def _forward(start: Position, landing: int, target: Position) -> Plan:
    plan: list[Action] = []
    if landing > start.icount:
        plan.append(RunTo(landing))
        start = Position(landing)
    if start != target:
        plan.append(StepTo(target))
    return tuple(plan)
