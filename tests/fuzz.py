"""How long fuzzing goes on: some seconds with the other tests; ``RRDBG_FUZZ_EXAMPLES`` makes a long run of it."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("RRDBG_FUZZ_EXAMPLES", "150"))
"""How many inputs each fuzzer tries. 300,000 take about an hour."""

_MOST_MEMORY = 64 << 20

short: Callable[[Any], Any] = settings(
    max_examples=EXAMPLES, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
"""A decorator for fuzzers: no example may take more than 5 s."""

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
"""Anything that JSON can say."""


def altered(content: Any, data: st.DataObject) -> Any:
    """``content``, JSON, with one value somewhere in it replaced, taken away or doubled."""
    if isinstance(content, dict) and content and data.draw(st.integers(0, 5)):
        key = data.draw(st.sampled_from(sorted(content)))
        if data.draw(st.integers(0, 9)) == 0:
            return {name: value for name, value in content.items() if name != key}
        return content | {key: altered(content[key], data)}
    if isinstance(content, list) and content and data.draw(st.integers(0, 5)):
        place = data.draw(st.integers(0, len(content) - 1))
        return [*content[:place], altered(content[place], data), *content[place + data.draw(st.integers(0, 1)) :]]
    return data.draw(values)


def mutilated(content: bytes, data: st.DataObject) -> bytes:
    """``content`` with some bytes changed, put in or cut off."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed)))
        changed[place : place + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    return bytes(changed[: data.draw(st.integers(0, len(changed)))] if data.draw(st.integers(0, 5)) == 0 else changed)


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Demand that no more than 64 MiB of Python's memory are taken meanwhile."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < _MOST_MEMORY
    finally:
        tracemalloc.stop()
