"""Requests that move the guest, in both directions."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Protocol, TypeVar

from rrdbg.errors import RecordingError, UsageError
from rrdbg.frontends.dap.channel import Body
from rrdbg.frontends.dap.requests import Handler, Requests, Then
from rrdbg.frontends.dap.session import Session
from rrdbg.frontends.dap.source import source_line
from rrdbg.model.document import Document
from rrdbg.model.hits.stop import Stop, StopReason
from rrdbg.model.shown import shown
from rrdbg.model.timeline.position import Position

MOVEMENT = Requests()

_MOST_MARKS = 20
_NEAR = 3
"""Console lines and events before the cursor, and behind it, that one may go to."""

_LONGEST_LABEL = 60


class _Placed(Protocol):
    @property
    def position(self) -> Position: ...


P = TypeVar("P", bound=_Placed)


def _moves(line: str, by_instruction: str | None = None) -> Handler:
    """A request that is a command of GDB's; another one if it is to go by instructions."""

    async def move(session: Session, arguments: Document) -> Then:
        granularity = arguments.get("granularity")
        single = granularity is not None and granularity.text() == "instruction"
        chosen = by_instruction if single and by_instruction else line
        return Then(lambda: session.gdb(chosen), {"allThreadsContinued": True} if line == "continue" else None)

    return move


for _name, _line, _single in (
    ("continue", "continue", None),
    ("next", "next", "nexti"),
    ("stepIn", "step", "stepi"),
    ("stepOut", "finish", None),
    ("reverseContinue", "reverse-continue", None),
    # A delivery of an interrupt is a step of its own, which 'reverse-nexti' would pass by.
    ("stepBack", "reverse-next", "reverse-stepi"),
    # The protocol has no reverse of these two; whoever knows rrdbg may ask.
    ("rrdbg/reverseStepIn", "reverse-step", "reverse-stepi"),
    ("rrdbg/reverseStepOut", "reverse-finish", None),
):
    MOVEMENT.answers(_name, "supportsStepBack", "supportsSteppingGranularity")(_moves(_line, _single))


@MOVEMENT.answers("rrdbg/seek")
async def _seek(session: Session, arguments: Document) -> Then:
    """To a ``position``, as the shell's ``seek`` takes it."""
    position = await session.replay.position_of(arguments["position"].text())
    return Then(lambda: session.stop_after(lambda: session.replay.seek(position), "goto"))


@MOVEMENT.answers("restartFrame", "supportsRestartFrame")
async def _restart_frame(session: Session, arguments: Document) -> Then:
    """To the first instruction of a function of the backtrace."""
    level = session.level(arguments["frameId"].integer())
    return Then(lambda: session.stop_after(lambda: _begin(session, level), "restart"))


async def _begin(session: Session, level: int) -> Stop | None:
    # GDB's reverse-finish is for the innermost function, whichever is selected. Each ends at the call instruction.
    for _ in range(level + 1):
        stop = await session.gdb_moves("reverse-finish")
        if stop and (stop.hits or stop.reason is StopReason.START):
            return stop
    return await session.gdb_moves("stepi")


@MOVEMENT.answers("gotoTargets", "supportsGotoTargetsRequest")
async def _goto_targets(session: Session, arguments: Document) -> Body:
    """Where one may go from a source line: to when it was executed last, and next; and to the marked places."""
    line = arguments["line"].integer()
    location = source_line(arguments["source"]["path"].text(), line)
    targets = []

    def add(label: str, move: object) -> None:
        session.targets.append(move)  # type: ignore[arg-type]
        targets.append({"id": len(session.targets), "label": label, "line": line})

    add(f"the last time that line {line} was executed", lambda: _reach(session, location, back=True))
    add(f"the next time that line {line} is executed", lambda: _reach(session, location, back=False))
    marks = sorted(session.replay.bookmarks.items(), key=lambda item: item[1].position)
    for name, mark in marks[:_MOST_MARKS]:
        add(f"@{name} at {mark.position}  {mark.note}".rstrip(), _to(session, mark.position))
    for number, position in enumerate(session.debugger.session.found[:_MOST_MARKS], 1):
        add(f"@{number} at {position}, found by the last query", _to(session, position))
    # Of an imported log it may not be known where a line was printed; the others are places all the same.
    with suppress(RecordingError):
        for lines in await _near(session, session.replay.console()):
            for spoken in lines:
                label = f"console at {spoken.position}: {shown(spoken.text)[:_LONGEST_LABEL]}"
                add(label, _to(session, spoken.position))
    for events in await _near(session, session.replay.events()):
        for event in events:
            label = f"{event.kind} at {event.position}: {shown(event.text)[:_LONGEST_LABEL]}"
            add(label, _to(session, event.position))
    return {"targets": targets}


async def _near(session: Session, found: AsyncGenerator[P, None]) -> tuple[list[P], list[P]]:
    """The last few of what is ``found`` before the cursor, and the next few behind it."""
    here = session.replay.position
    before: deque[P] = deque(maxlen=_NEAR)
    behind: list[P] = []
    async with aclosing(found) as places:
        async for place in places:
            if place.position < here:
                before.append(place)
            elif place.position > here:
                behind.append(place)
                if len(behind) == _NEAR:
                    break
    return list(before), behind


def _to(session: Session, position: Position) -> object:
    return lambda: session.replay.seek(position)


async def _reach(session: Session, location: str, *, back: bool) -> Stop:
    replay, here = session.replay, session.replay.position
    stop = await (replay.reverse_continue(location) if back else replay.cont(location))
    if not stop.hits:
        await replay.seek(here)
        raise UsageError(f"{location} is not executed {'before' if back else 'after'} {here}.")
    return stop


@MOVEMENT.answers("goto")
async def _goto(session: Session, arguments: Document) -> Then:
    number = arguments["targetId"].integer()
    if not 1 <= number <= len(session.targets):
        raise UsageError("The guest has moved since; ask for the targets anew.")
    move = session.targets[number - 1]
    return Then(lambda: session.stop_after(move, "goto"))
