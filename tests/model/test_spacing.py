"""The thinning policy, the ladder and the cost map, as properties."""

from __future__ import annotations

import itertools

from hypothesis import assume, given
from hypothesis import strategies as st

from rrdbg.model.timeline.cost import CostMap, Piece
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.model.travel.spacing import FIRST_RUNG_SECONDS, default_budget, rungs, to_drop

END = 10_000
KINDS = (SnapshotKind.PERIODIC, SnapshotKind.LADDER, SnapshotKind.NAMED)


def snapshot(icount: int, kind: SnapshotKind, size: int) -> Snapshot:
    return Snapshot(icount, f"t{icount}", kind, (f"snapshots/{icount}.qcow2",), size=size)


@st.composite
def stores(draw: st.DrawFn) -> tuple[Snapshot, ...]:
    icounts = draw(st.lists(st.integers(1, END - 1), unique=True, max_size=14))
    others = [snapshot(icount, draw(st.sampled_from(KINDS)), draw(st.integers(1, 100))) for icount in sorted(icounts)]
    return (snapshot(0, SnapshotKind.INITIAL, draw(st.integers(0, 100))), *others)


@st.composite
def costs(draw: st.DrawFn) -> CostMap:
    edges = sorted(draw(st.lists(st.integers(0, END), unique=True, max_size=8)))
    cost = CostMap()
    for start, end in itertools.pairwise(edges):
        if draw(st.booleans()):
            cost = cost.with_piece(Piece(start, end, draw(st.floats(0.001, 5))))
    return cost


def size(snapshots: tuple[Snapshot, ...]) -> int:
    return sum(item.size for item in snapshots)


def gaps(snapshots: tuple[Snapshot, ...], cost: CostMap) -> list[float]:
    places = [*(item.icount for item in snapshots), END]
    return [cost.seconds(low, high) for low, high in itertools.pairwise(places)]


@given(stores(), costs(), st.integers(0, 1500))
def test_initial_and_named_ones_stay(snapshots: tuple[Snapshot, ...], cost: CostMap, budget: int) -> None:
    gone = to_drop(snapshots, cost, END, budget)
    assert {item.kind for item in gone} <= {SnapshotKind.PERIODIC, SnapshotKind.LADDER}
    assert len(set(gone)) == len(gone)
    assert set(gone) <= set(snapshots)


@given(stores(), costs(), st.integers(0, 1500))
def test_the_rest_fits_if_it_can(snapshots: tuple[Snapshot, ...], cost: CostMap, budget: int) -> None:
    gone = to_drop(snapshots, cost, END, budget)
    rest = tuple(item for item in snapshots if item not in gone)
    only_fixed = all(item.kind in (SnapshotKind.INITIAL, SnapshotKind.NAMED) for item in rest)
    assert size(rest) <= budget or only_fixed


@given(stores(), costs(), st.integers(0, 1500))
def test_no_more_is_dropped_than_needed(snapshots: tuple[Snapshot, ...], cost: CostMap, budget: int) -> None:
    gone = to_drop(snapshots, cost, END, budget)
    if gone:
        assert size(snapshots) - size(gone[:-1]) > budget


@given(stores(), costs())
def test_nothing_is_dropped_within_the_budget(snapshots: tuple[Snapshot, ...], cost: CostMap) -> None:
    assert to_drop(snapshots, cost, END, size(snapshots)) == ()


@given(stores(), costs())
def test_a_drop_raises_the_worst_and_then_the_expected_jump_least(
    snapshots: tuple[Snapshot, ...], cost: CostMap
) -> None:
    snapshots = tuple(item for item in snapshots if item.kind is not SnapshotKind.LADDER)
    gone = to_drop(snapshots, cost, END, size(snapshots) - 1)
    assume(gone)

    def after(item: Snapshot) -> tuple[float, float]:
        left = gaps(tuple(other for other in snapshots if other is not item), cost)
        return max(left), sum(gap * gap for gap in left)

    periodic = [item for item in snapshots if item.kind is SnapshotKind.PERIODIC]
    periodic = [item for item in periodic if 2 * item.size > size(snapshots) - 1] or periodic
    worst, expected = after(gone[0])
    tolerance = 1e-6 * (1 + expected)
    assert worst <= min(after(item)[0] for item in periodic) + tolerance
    ties = [after(item)[1] for item in periodic if after(item)[0] <= worst - tolerance]
    assert all(expected <= tie + tolerance for tie in ties)


def test_a_redundant_neighbour_goes_first() -> None:
    snapshots = (
        snapshot(0, SnapshotKind.INITIAL, 0),
        *(snapshot(icount, SnapshotKind.PERIODIC, 10) for icount in (2500, 5000, 5100, 7500)),
    )
    assert [item.icount for item in to_drop(snapshots, CostMap((Piece(0, END, 2.0),)), END, 30)] == [5100]


def test_one_that_would_cost_all_others_goes_first() -> None:
    small = [Snapshot(n, "", SnapshotKind.PERIODIC, (), size=10) for n in range(10, 60, 10)]
    large = Snapshot(60, "", SnapshotKind.PERIODIC, (), size=900)
    cost = CostMap((Piece(0, 100, 100.0),))
    initial = Snapshot(0, "", SnapshotKind.INITIAL, ())
    assert to_drop((initial, *small, large), cost, 100, 500) == (large,)


def test_seconds_count_and_not_instructions() -> None:
    """Around 5000 lie 4000 instructions that cost nothing; around 9000 few that cost all."""
    cost = CostMap((Piece(0, 8000, 0.01), Piece(8000, END, 5.0)))
    snapshots = (
        snapshot(0, SnapshotKind.INITIAL, 0),
        *(snapshot(icount, SnapshotKind.PERIODIC, 10) for icount in (5000, 8500, 9000, 9500)),
    )
    assert [item.icount for item in to_drop(snapshots, cost, END, 30)] == [5000]


@given(stores(), costs(), st.integers(0, 1500))
def test_rungs_of_a_ladder_go_first(snapshots: tuple[Snapshot, ...], cost: CostMap, budget: int) -> None:
    kinds = [item.kind for item in to_drop(snapshots, cost, END, budget)]
    assert kinds == sorted(kinds, key=lambda kind: kind is not SnapshotKind.LADDER)


@given(costs(), st.integers(0, END), st.integers(0, END), st.integers(0, END))
def test_costs_add_up(cost: CostMap, one: int, two: int, three: int) -> None:
    low, middle, high = sorted((one, two, three))
    whole = cost.seconds(low, high)
    assert abs(cost.seconds(low, middle) + cost.seconds(middle, high) - whole) < 1e-6
    assert whole >= 0


@given(costs(), st.integers(0, END), st.integers(0, END), st.floats(0.001, 3))
def test_a_piece_fills_only_gaps(cost: CostMap, one: int, two: int, seconds: float) -> None:
    low, high = sorted((one, two))
    grown = cost.with_piece(Piece(low, high, seconds))
    assert set(cost.pieces) <= set(grown.pieces)
    assert all(before.end <= after.start for before, after in zip(grown.pieces, grown.pieces[1:], strict=False))
    if cost.seconds(low, high) and not cost.pieces:
        assert abs(grown.seconds(low, high) - seconds) < 1e-9


@given(costs(), st.integers(1, END), st.floats(0, 3))
def test_back_is_the_inverse_of_seconds(cost: CostMap, icount: int, seconds: float) -> None:
    found = cost.back(icount, seconds)
    assert cost.seconds(found, icount) <= seconds
    assert found == 0 or cost.seconds(found - 1, icount) > seconds


@given(costs(), st.integers(0, END), st.integers(0, END))
def test_rungs_lie_between_and_double(cost: CostMap, one: int, two: int) -> None:
    low, here = sorted((one, two))
    found = rungs(cost, low, here)
    assert list(found) == sorted(set(found))
    assert all(low < icount < here for icount in found)
    doubled = [cost.back(here, FIRST_RUNG_SECONDS * 2**number) for number in range(16)]
    assert [icount for icount in dict.fromkeys(doubled) if icount in found] == list(reversed(found))


def test_the_default_budget_counts_what_is_used_as_free() -> None:
    assert default_budget(900, 100) == default_budget(1000, 0) == 100


def test_a_guest_with_much_ram_has_room_for_two_states_of_it() -> None:
    assert default_budget(10**12, 0) == default_budget(10**12, 0, ram=10**8) == 10**9
    assert default_budget(10**12, 0, ram=4 << 30) == 8 << 30
