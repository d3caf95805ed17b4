"""What replaying costs: measured where it was, else by the log, at rates that follow what is measured."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrdbg.model.timeline.cost import CostMap, Piece, Rates, expected_rates
from rrdbg.model.timeline.profile import Profile

END = 1_000_000_000
QUIET, BUSY = 600_000_000, END
"""Up to the first there are few events, from there to the second many."""

PROFILE = Profile(array("Q", [0, QUIET, BUSY]), array("Q", [0, 1_000_000, 51_000_000]))
TRUTH = Rates(2e-9, 0.5e-6)


def truth(start: int, end: int) -> float:
    return (end - start) * TRUTH.instruction + PROFILE.between(start, end) * TRUTH.byte


def test_the_log_is_spread_over_its_instructions() -> None:
    assert PROFILE.upto(0) == 0
    assert PROFILE.between(0, END) == 51_000_000
    assert PROFILE.between(QUIET // 2, QUIET) == 500_000
    assert PROFILE.upto(2 * END) == 51_000_000
    assert Profile().upto(5) == 0


def test_events_are_expected_to_cost_more_than_instructions() -> None:
    cost = CostMap((), PROFILE, TRUTH)
    assert cost.seconds(0, QUIET) == pytest.approx(truth(0, QUIET))
    assert cost.seconds(QUIET, END) == pytest.approx(truth(QUIET, END))
    assert cost.seconds(QUIET, END) > 10 * cost.seconds(0, QUIET)


@pytest.mark.parametrize("rates", [Rates(1e-9, 0.1e-6), Rates(20e-9, 2e-6), Rates()])
def test_what_is_measured_corrects_both_rates(rates: Rates) -> None:
    """After 2 % of each kind, all the rest is known within a tenth, however wrong it was."""
    cost = CostMap((), PROFILE, rates)
    for begin in (100_000_000, QUIET):
        for place in range(begin, begin + 12_000_000, 1_000_000):
            cost = cost.with_piece(Piece(place, place + 1_000_000, truth(place, place + 1_000_000)))
    assert cost.seconds(QUIET, END) == pytest.approx(truth(QUIET, END), rel=0.1)
    # Instructions cost so little there that a piece says little of them.
    assert cost.seconds(0, END) == pytest.approx(truth(0, END), rel=0.1)


def test_what_the_recording_took_tells_of_slow_instructions() -> None:
    """A Cortex-A57 that waits for nothing: 671 million instructions in 8.4 s, and hardly an event."""
    assert expected_rates(671_000_000, 10_477, 8.4).instruction == pytest.approx(12.5e-9, rel=0.01)
    # memtest86+: nearly all of its 10 s went into the log.
    assert expected_rates(902_000_000, 70_800_000, 10.0).instruction < 2e-9
    assert expected_rates(0, 0, 0.0).instruction > 0


@given(
    st.lists(st.tuples(st.integers(0, END), st.integers(0, END), st.floats(0.001, 10)), max_size=8),
    st.integers(0, END), st.integers(0, END), st.floats(0, 30),
)  # fmt: skip
def test_a_way_and_its_price_agree(
    measured: list[tuple[int, int, float]], first: int, second: int, seconds: float
) -> None:
    cost = CostMap((), PROFILE, TRUTH)
    for start, end, took in measured:
        cost = cost.with_piece(Piece(min(start, end), max(start, end), took))
    low, high = sorted((first, second))
    middle = (low + high) // 2
    assert cost.seconds(low, high) == pytest.approx(cost.seconds(low, middle) + cost.seconds(middle, high))
    ahead = cost.ahead(low, seconds, END)
    assert cost.seconds(low, ahead) >= seconds or ahead == END
    assert ahead == low or cost.seconds(low, ahead - 1) <= seconds
    back = cost.back(high, seconds)
    assert cost.seconds(back, high) <= seconds or back == high


def test_to_forget_is_to_expect_again() -> None:
    cost = CostMap((), PROFILE, TRUTH).with_piece(Piece(0, END, 99.0))
    assert cost.seconds(0, END) == 99
    assert cost.measured == END
    assert cost.forgotten() == CostMap((), PROFILE, TRUTH)
