"""How long fuzzing goes on: some seconds with the other tests; ``RRDBG_FUZZ_SECONDS`` makes a long run of it."""

from __future__ import annotations

import functools
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_EXAMPLES = 150
"""How many inputs a fuzzer tries at once; in a long run it does so again and again, each time with others."""

_SECONDS = float(os.environ.get("RRDBG_FUZZ_SECONDS", "0"))
_MOST_MEMORY = 64 << 20
_MOST_CPU_SECONDS = 5.0


def fuzz(*positional: st.SearchStrategy[Any], **named: st.SearchStrategy[Any]) -> Callable[[Any], Any]:
    """A decorator as hypothesis' ``given``, for fuzzers: no input may take more than 5 s of a processor.

    A long run takes ``RRDBG_FUZZ_SECONDS`` for each fuzzer, and prints how many inputs it has tried.
    """
    options = settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    if _SECONDS:
        options = settings(options, derandomize=False, database=None)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        tried = 0

        @functools.wraps(test)
        def counted(*arguments: Any, **more: Any) -> None:
            nonlocal tried
            tried += 1
            with bounded_work():
                test(*arguments, **more)

        once: Callable[..., None] = given(*positional, **named)(options(counted))
        if not _SECONDS:
            return once

        @functools.wraps(once)
        def again(*arguments: Any, **more: Any) -> None:
            end = time.monotonic() + _SECONDS
            while time.monotonic() < end:
                once(*arguments, **more)
            print(f"{test.__name__}: {tried:,} inputs")

        return again

    return decorate


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
def bounded_work() -> Iterator[None]:
    """What is done inside takes no more than 5 s of a processor; not by the clock: others may be using this machine."""
    began = time.process_time()
    yield
    assert time.process_time() - began < _MOST_CPU_SECONDS


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Demand that no more than 64 MiB of Python's memory are taken meanwhile."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < _MOST_MEMORY
    finally:
        tracemalloc.stop()
