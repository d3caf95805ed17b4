"""What the places, addresses and expressions mean that a caller of the API writes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from rrdbg.commands.arguments import read_address, read_position
from rrdbg.commands.origin import read_place
from rrdbg.commands.session import Session
from rrdbg.errors import UsageError
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.links.translation import physical_here
from rrdbg.model.hits.physical_place import PhysicalPlace
from rrdbg.model.program.moves import Place as ValuePlace
from rrdbg.model.program.tracing import Tracepoint
from rrdbg.model.timeline.position import Position

Place = Position | float | str
"""A position, an icount (also ``1e6``), or a position as commands take it: ``"50%"``, ``"+1e6"``, ``"@oops"``."""

Address = int | str
"""An address, or an expression for one: ``0x104128``, ``"$rsp+8"``, ``"&tasks[3]"``."""


class Targets:
    """Reads what is meant in ``session``, at its cursor; ``debugger`` gives the GDB where one is needed."""

    def __init__(self, session: Session, debugger: Callable[[], Awaitable[Debugger]]) -> None:
        self._session = session
        self._debugger = debugger

    async def position(self, place: Place) -> Position:
        """The position that ``place`` means.

        :raises UsageError: it means none.
        """
        if isinstance(place, Position):
            return place
        if isinstance(place, str):
            return await read_position(self._session, place)
        if not isinstance(place, int | float) or isinstance(place, bool) or place != place // 1:
            raise UsageError(f"{place!r} is no position; give an instruction count, or a text such as '50%'.")
        return Position(int(place))

    async def stretch(self, start: Place, end: Place) -> tuple[Position, Position]:
        """The two positions of a stretch.

        :raises UsageError: it is empty.
        """
        stretch = await self.position(start), await self.position(end)
        if not stretch[0] < stretch[1]:
            raise UsageError(f"The range from {stretch[0]} to {stretch[1]} is empty.")
        return stretch

    async def address(self, address: Address) -> int:
        """The number of an address.

        :raises GdbError: the expression has no value.
        """
        if isinstance(address, int):
            return address
        try:
            return await read_address(self._session, address)
        except UsageError:
            return await (await self._debugger()).symbols.number(address)

    async def range(self, target: Address, size: int | None) -> tuple[int, int]:
        """The address and length of what is to be watched.

        :raises UsageError: the length of an address is missing.
        """
        if size is not None:
            return await self.address(target), size
        if isinstance(target, int):
            raise UsageError(f"How many bytes at {target:#x}? Give a size.")
        variable = await (await self._debugger()).symbols.variable(target)
        return variable.address, variable.length

    async def physical(self, target: Address, size: int | None) -> PhysicalPlace:
        """The physical memory at an address, or behind an expression at the cursor.

        :raises UsageError: nothing is mapped there, or the length of an address is missing.
        """
        address, length = await self.range(target, size)
        if not isinstance(target, int):
            found = await physical_here(await self._session.replay.machine(), address)
            if found is None:
                raise UsageError(f"Nothing is mapped at {address:#x} here, so there is no memory behind it.")
            address = found
        return PhysicalPlace(address, length)

    async def text(self, target: Address, size: int | None) -> str:
        """The same as a command takes it; of an expression, itself, for GDB to understand."""
        if size is None and isinstance(target, str):
            await self._debugger()
            return target
        address, length = await self.range(target, size)
        return f"*{address:#x}:{length}"

    async def places(self, location: Address, condition: str | None) -> Sequence[Tracepoint]:
        """The instructions of a location, each with ``condition`` compiled for it."""
        if isinstance(location, int) and condition is None:
            return [Tracepoint(location)]
        name = f"*{location:#x}" if isinstance(location, int) else location
        return await (await self._debugger()).symbols.compile(name, [condition] if condition else [])

    async def value(self, text: str) -> ValuePlace:
        """The register or the memory that holds a value."""
        if not text.startswith("$"):
            await self._debugger()
        return await read_place(self._session, text)
