"""In one QEMU, too, every operation lands where single-stepping forward says: the engine's own tests, attached.

``replay`` is that of this directory's conftest.
"""

from __future__ import annotations

import pytest

from tests.engine.test_faults import test_a_cancelled_movement_leaves_an_exact_cursor
from tests.engine.test_oracle import (
    test_a_phase_that_does_not_exist,
    test_continue_both_ways_with_breakpoints,
    test_each_single_step_back,
    test_nothing_to_find,
    test_reverse_continue_with_a_watchpoint,
    test_reverse_stepi_and_stepi,
    test_seek,
    test_the_two_ends,
    test_walking_back_over_all_hits,
)
from tests.oracle import Oracle

__all__ = [
    "test_a_cancelled_movement_leaves_an_exact_cursor",
    "test_a_phase_that_does_not_exist",
    "test_continue_both_ways_with_breakpoints",
    "test_each_single_step_back",
    "test_nothing_to_find",
    "test_reverse_continue_with_a_watchpoint",
    "test_reverse_stepi_and_stepi",
    "test_seek",
    "test_the_two_ends",
    "test_walking_back_over_all_hits",
]


@pytest.fixture(params=["busy", "exceptional"])
def oracle(request: pytest.FixtureRequest) -> Oracle:
    """The stretches that have the most in them; the others are no different in one QEMU."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Oracle)
    return found
