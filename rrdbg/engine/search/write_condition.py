"""A condition of writes: behind a write that does not make it true, nothing has happened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rrdbg.links.machine import Machine
from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.stop import Breakpoint


@dataclass(frozen=True, slots=True)
class WriteCondition:
    """Given to a scan for writes as who judges, it lets the plugin leave out those behind which it does not hold.

    A hit that is a :class:`~rrdbg.model.hits.stop.NotedHit` was judged so; the others are the caller's to judge.
    Changes that no instruction has made are not looked for.
    """

    condition: Condition
    holds: Callable[[Condition, Machine], Awaitable[bool]]
    """Says it where a machine stands."""

    async def __call__(self, machine: Machine, point: Breakpoint) -> bool:
        """Of breakpoints it says nothing."""
        return True


def write_condition(judge: object) -> WriteCondition | None:
    """``judge`` if it is such."""
    return judge if isinstance(judge, WriteCondition) else None
