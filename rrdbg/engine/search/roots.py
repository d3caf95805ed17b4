"""In which address spaces hits are that a plugin has told of: by the registers that it has read there."""

from __future__ import annotations

from collections.abc import Sequence

from rrdbg.engine.search.access import StartAt
from rrdbg.links.address_space import root_by, root_registers, space_in_use
from rrdbg.links.reading import Reading, Value
from rrdbg.links.registers import RegisterFile
from rrdbg.model.program.agent import Expression
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position


class UnknownRootError(Exception):
    """The registers could not be read."""


class Roots:
    """The roots of page tables in a guest whose registers are laid out by ``layout``.

    Where a root may be one of two of a process, a machine that ``start_at`` starts looks.
    """

    def __init__(self, layout: RegisterFile, timeline: Timeline, start_at: StartAt) -> None:
        self._layout = layout
        self._timeline = timeline
        self._start_at = start_at
        self._known: dict[int, int | None] = {}
        self._by_values: dict[tuple[Value, ...], int | None] = {}

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What has to be read at each hit."""
        return tuple(Reading(register(self._layout, name)) for name in root_registers(self._layout))

    async def root(self, values: Sequence[Value], position: Position) -> int | None:
        """The root by the ``values`` of :attr:`readings`, as a machine at ``position`` would tell it.

        :raises UnknownRootError: they could not be read.
        """
        key = tuple(values)
        if key not in self._by_values:
            self._by_values[key] = await self._root(key, position)
        return self._by_values[key]

    async def _root(self, values: Sequence[Value], position: Position) -> int | None:
        numbers = [value for value in values if isinstance(value, int)]
        if len(numbers) < len(values):
            raise UnknownRootError
        root, may_be_users = root_by(self._layout, numbers)
        if root is None or not may_be_users:
            return root
        if root not in self._known:
            landing = self._timeline.deliveries.plain_at_or_before(position.icount)
            walker = await self._start_at(landing)
            try:
                await walker.walk_to(position)
                self._known[root] = await space_in_use(walker.machine)
            finally:
                await walker.machine.close()
        return self._known[root]


def register(layout: RegisterFile, name: str) -> Expression:
    """The value of the register ``name``."""
    return Expression(b"\x26" + list(layout.registers).index(name).to_bytes(2, "big") + b"\x27")
