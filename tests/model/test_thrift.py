"""What may be spent on snapshots."""

from __future__ import annotations

import pytest

from rrdbg.model.travel.thrift import ADVANCE_SECONDS, Thrift


def test_the_first_may_be_taken_on_credit() -> None:
    thrift = Thrift(0.2)
    assert thrift.seconds_to_earn <= 0
    thrift.saved(ADVANCE_SECONDS)
    assert thrift.seconds_to_earn > 0


@pytest.mark.parametrize("share", [0.2, 0.5])
@pytest.mark.parametrize("cost", [0.05, 0.1, 1.0])
def test_no_more_than_the_share_is_spent_in_the_long_run(share: float, cost: float) -> None:
    thrift, spent, ran = Thrift(share), 0.0, 0.0
    for _ in range(5_000):
        thrift.ran(0.1)
        ran += 0.1
        if thrift.seconds_to_earn <= 0:
            thrift.saved(cost)
            thrift.waited(cost / 10)
            spent += 1.1 * cost
    # The stops take 5 ms each of it.
    assert spent <= ADVANCE_SECONDS + share * ran
    assert spent > 0.7 * (share - 0.05) * ran
