"""Deliveries against a plain list of pairs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rrdbg.model.timeline.deliveries import Deliveries, Delivery

HIGHEST = 60

pairs = st.lists(st.tuples(st.integers(0, HIGHEST), st.sampled_from(Delivery)), max_size=40).map(
    lambda found: sorted(found, key=lambda pair: pair[0])
)
icounts = st.integers(0, HIGHEST + 5)


@given(pairs, icounts)
def test_what_is_at_an_icount(listed: list[tuple[int, Delivery]], icount: int) -> None:
    deliveries = Deliveries.of(listed)
    assert len(deliveries) == len(listed)
    assert deliveries.at(icount) == tuple(kind for place, kind in listed if place == icount)
    assert deliveries.is_plain(icount) == (not deliveries.at(icount))


@given(pairs, icounts, icounts)
def test_what_is_between_two(listed: list[tuple[int, Delivery]], low: int, high: int) -> None:
    deliveries = Deliveries.of(listed)
    inside = [place for place, _ in listed if low <= place <= high]
    assert list(deliveries.between(low, high)) == inside
    assert deliveries.any_between(low, high) == bool(inside)


@given(pairs, icounts)
def test_the_plain_neighbours(listed: list[tuple[int, Delivery]], icount: int) -> None:
    deliveries = Deliveries.of(listed)
    taken = {place for place, _ in listed}
    before = [place for place in range(icount + 1) if place not in taken]
    assert deliveries.plain_at_or_before(icount) == max(before, default=0)
    assert deliveries.plain_after(icount) == next(i for i in range(icount + 1, HIGHEST + 9) if i not in taken)


def test_none_at_all() -> None:
    nothing = Deliveries()
    assert nothing.is_plain(0)
    assert nothing.plain_at_or_before(-1) == 0
    assert not nothing.any_between(0, 1 << 60)
