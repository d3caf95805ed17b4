"""Logpoints: what they print is printed of all of time, as ``tprintf`` does, while the editor asks for nothing else.

A request of the client's interrupts that; afterwards it goes on behind the last line that was printed.
"""

from __future__ import annotations

import re
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass

from rrdbg.commands.help import COMMANDS
from rrdbg.errors import RrdbgError
from rrdbg.frontends.api import AsyncReplay
from rrdbg.frontends.dap.channel import Channel
from rrdbg.frontends.dap.source import source_line
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.model.results import Found, Message
from rrdbg.model.shown import shown
from rrdbg.model.timeline.position import START, Position

MOST_LINES = 1000
"""What one logpoint prints at most."""

_PARTS = re.compile(r"\{([^{}]+)\}")


@dataclass(slots=True)
class Logpoint:
    """What prints ``message`` at a ``line`` of the file ``path``; all up to ``reached`` is printed."""

    path: str
    line: int
    condition: str
    message: str
    reached: Position = START
    lines: int = 0

    @property
    def location(self) -> str:
        """Where it is, as GDB takes it."""
        return source_line(self.path, self.line)

    async def command(self, debugger: Debugger) -> str:
        """The command that prints what is left, with a conversion for each ``{EXPRESSION}``."""
        expressions = _PARTS.findall(self.message)
        form = _PARTS.sub("\0", self.message.replace("%", "%%")).replace("\\", "\\\\").replace('"', '\\"')
        for expression in expressions:
            form = form.replace("\0", await _conversion(debugger, self.location, expression), 1)
        condition = f" if {self.condition}" if self.condition else ""
        words = "".join(f",{expression}" for expression in expressions)
        return f'tprintf {self.location}{condition},"{form}"{words} from {self.reached}'


async def _conversion(debugger: Debugger, location: str, expression: str) -> str:
    """How to print an expression: as a string, a pointer or a number. Its type may only be known at ``location``."""
    try:
        text = await debugger.symbols.type_at(location, expression)
    except RrdbgError:
        return "%ld"
    if text.endswith(("char *", "char*")):
        return "%s"
    return "%p" if "*" in text or "(" in text else "%lu" if "unsigned" in text else "%ld"


class Log:
    """The logpoints of a session, by the file that they are set in."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._set: dict[str, list[Logpoint]] = {}
        self._waiting: deque[Logpoint] = deque()

    @property
    def waits(self) -> bool:
        """True if there is something to print."""
        return bool(self._waiting)

    async def replace(self, path: str, wanted: list[tuple[int, str, str]]) -> None:
        """Set the logpoints of a file: line, condition and message. Those that were set before have printed."""
        known = {_key(point): point for point in self._set.get(path, [])}
        self._waiting = deque(point for point in self._waiting if point not in known.values() or _key(point) in wanted)
        fresh = [Logpoint(path, *words) for words in wanted if words not in known]
        self._waiting.extend(fresh)
        self._set[path] = [*(known[words] for words in wanted if words in known), *fresh]

    def drop(self) -> None:
        """The user does not want to wait for the one that is being printed."""
        if self._waiting:
            self._waiting.popleft()

    async def go_on(self, replay: AsyncReplay, debugger: Debugger) -> None:
        """Print what the first one that waits has left; may be cancelled."""
        point = self._waiting[0]
        try:
            line = await point.command(debugger)
            async with aclosing(COMMANDS.run(debugger.session, line)) as answers:
                async for answer in answers:
                    if isinstance(answer, Found):
                        await self._print(point, f"{answer.position}  {answer.fields['text']}")
                        point.reached, point.lines = Position(answer.position.icount + 1), point.lines + 1
                        if point.lines >= MOST_LINES:
                            await self._print(point, f"[more than {MOST_LINES:,} lines; tprintf lists a part of time]")
                            break
                    elif isinstance(answer, Message) and not point.lines:
                        await self._print(point, answer.text)
        except RrdbgError as error:
            await self._print(point, f"{point.location}: {error}")
        if self._waiting and self._waiting[0] is point:
            self._waiting.popleft()

    async def _print(self, point: Logpoint, text: str) -> None:
        place = {"source": {"path": point.path}, "line": point.line}
        body = {"category": "console", "output": f"{shown(text)}\n", **place}
        await self._channel.event("output", body)


def _key(point: Logpoint) -> tuple[int, str, str]:
    return point.line, point.condition, point.message
