"""Where a bisect looks, without any QEMU."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrdbg.errors import Undecided, UsageError
from rrdbg.model.hits.bisection import MOST_SKIPS, Bisection, Probe, Verdict
from rrdbg.model.hits.task_runs import TaskRuns
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import START, Position
from tests.model.test_plan import END, snapshot, timelines


def run(timeline: Timeline, judge: Callable[[int], Verdict], end: int = END) -> tuple[Bisection, list[Probe]]:
    bisection, probes = Bisection.between(START, Position(end)), []
    while (position := bisection.next(timeline)) is not None:
        assert bisection.good < position < bisection.bad
        assert position not in bisection.skipped
        assert timeline.deliveries.is_plain(position.icount)
        probe = Probe(position, judge(position.icount))
        probes.append(probe)
        bisection = bisection.after(probe)
    return bisection, probes


@given(timelines(), st.integers(1, END))
def test_it_ends_at_the_first_bad_place(timeline: Timeline, first: int) -> None:
    bisection, probes = run(timeline, lambda icount: Verdict.BAD if icount >= first else Verdict.GOOD)
    between = range(bisection.good.icount + 1, bisection.bad.icount)
    assert not any(timeline.deliveries.is_plain(icount) for icount in between)
    assert bisection.good.icount < first <= bisection.bad.icount
    # Each probe leaves three quarters at most, where deliveries do not push it aside.
    if not timeline.deliveries.icounts:
        assert len(probes) <= 24


@given(st.integers(2, 10**9), st.data())
def test_without_snapshots_it_halves(end: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, end))
    bare = Timeline(Position(end))
    started = Bisection.between(START, Position(end))
    bisection, probes = run(bare, lambda icount: Verdict.BAD if icount >= first else Verdict.GOOD, end)
    assert (bisection.good, bisection.bad) == (Position(first - 1), Position(first))
    assert len(probes) <= started.rounds + 1
    assert bisection.rounds == 0


@given(timelines(), st.integers(1, END), st.sets(st.integers(1, END - 1), max_size=20))
def test_what_is_skipped_is_left_out_and_hides_nothing_else(timeline: Timeline, first: int, dark: set[int]) -> None:
    def judge(icount: int) -> Verdict:
        return Verdict.SKIP if icount in dark else Verdict.BAD if icount >= first else Verdict.GOOD

    bisection, _ = run(timeline, judge)
    assert bisection.good.icount < first <= bisection.bad.icount
    for icount in range(bisection.good.icount + 1, bisection.bad.icount):
        assert icount in dark or not timeline.deliveries.is_plain(icount)
    assert {position.icount for position in bisection.skipped} <= dark


def test_a_dark_stretch_is_given_up() -> None:
    bisection, probes = run(Timeline(Position(10**9)), lambda icount: Verdict.SKIP, 10**9)
    assert len(probes) == len(bisection.skipped) == MOST_SKIPS
    assert len({probe.position for probe in probes}) == MOST_SKIPS


@given(timelines(), st.integers(1, END), st.randoms())
def test_probes_may_come_in_any_order(timeline: Timeline, first: int, random: Random) -> None:
    bisection, probes = run(timeline, lambda icount: Verdict.BAD if icount >= first else Verdict.GOOD)
    random.shuffle(probes)
    assert Bisection.between(START, Position(END)).after_all(probes) == bisection


def test_snapshots_come_first_where_they_help() -> None:
    timeline = Timeline(Position(1000)).with_snapshot(snapshot(0)).with_snapshot(snapshot(420))
    assert Bisection.between(START, Position(1000)).next(timeline) == Position(420)
    assert Bisection.between(Position(400), Position(1000)).next(timeline) == Position(700), "too near the end"


def test_contradictions_are_told() -> None:
    bisection = Bisection.between(Position(100), Position(200))
    with pytest.raises(Undecided, match="holds at 50, and no longer at 100"):
        bisection.after(Probe(Position(50), Verdict.BAD))
    with pytest.raises(Undecided, match="holds at 200, and no longer at 300"):
        bisection.after(Probe(Position(300), Verdict.GOOD))
    assert bisection.after(Probe(Position(50), Verdict.GOOD)) == bisection
    assert bisection.after(Probe(Position(300), Verdict.BAD)) == bisection
    assert bisection.after(Probe(Position(300), Verdict.SKIP)) == bisection
    with pytest.raises(UsageError, match="must lie before"):
        Bisection.between(Position(5), Position(5))


@st.composite
def runs(draw: st.DrawFn) -> TaskRuns:
    places = sorted(draw(st.sets(st.integers(1, END - 1), min_size=4, max_size=24)))
    pairs = zip(places[::2], places[1::2], strict=False)
    return TaskRuns("one", tuple((Position(low), Position(high)) for low, high in pairs))


@given(timelines(), runs(), st.data())
def test_of_one_task_only_where_it_runs_is_looked(timeline: Timeline, task: TaskRuns, data: st.DataObject) -> None:
    inside = [icount for low, high in task.stretches for icount in {low.icount, high.icount - 1}]
    first = data.draw(st.sampled_from(inside) | st.integers(1, END))
    try:
        bisection = Bisection.between(START, Position(END), task)
    except UsageError:
        assert len(task.stretches) == 1 or max(inside) == min(inside)
        return
    assert bisection.good == task.stretches[0][0]
    assert bisection.bad.icount == task.stretches[-1][1].icount - 1
    whole, count = bisection.remaining, 0
    assert whole == sum(high.icount - low.icount for low, high in task.stretches) - 1
    while (position := bisection.next(timeline)) is not None:
        assert task.begins_at(position)
        assert bisection.good < position < bisection.bad
        verdict = Verdict.BAD if position.icount >= first else Verdict.GOOD
        before, bisection = bisection, bisection.after(Probe(position, verdict))
        assert bisection.remaining < before.remaining
        count += 1
    left = range(bisection.good.icount + 1, bisection.bad.icount)
    assert not any(task.begins_at(Position(icount)) and timeline.deliveries.is_plain(icount) for icount in left)
    if not timeline.deliveries.icounts:
        assert count <= 24, "it halves what the task has executed, however far its runs lie apart"


@given(runs(), st.integers(0, END), st.integers(0, END))
def test_runs_are_counted_and_walked(task: TaskRuns, first: int, last: int) -> None:
    begun = [icount for icount in range(first, last) if task.begins_at(Position(icount))] if last - first < 3000 else []
    if begun:
        start, end = Position(first), Position(last)
        assert task.instructions(start, end) == len(begun)
        assert task.at_or_after(start) == Position(begun[0])
        assert task.last_before(end) == Position(begun[-1])
        assert [task.after(start, number) for number in range(len(begun))] == begun
