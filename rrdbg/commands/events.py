"""Commands about what came to the guest from outside, and about its console."""

from __future__ import annotations

import asyncio
import itertools

from rrdbg.commands.arguments import nothing_more, read_position
from rrdbg.commands.registry import Category, Registry, Takes
from rrdbg.commands.session import Session
from rrdbg.errors import OutOfRange, UsageError
from rrdbg.model.results import ConsoleLines, EventCounts, Events, Message, Result
from rrdbg.model.timeline.events import NOTABLE, EventKind, GuestEvent, parse_kind
from rrdbg.model.timeline.position import START, Position
from rrdbg.store.history import counts, history

EVENTS = Registry()

_MOST = 50
_CONSOLE_LINES = 20


@EVENTS.command(
    "events", Category.EVENTS, "Count the events of the recording or a part of it, or list those of a KIND.",
    arguments="[KIND] [FROM [TO]]",
    details=f"Kinds are {', '.join(EventKind)}. A list begins at FROM, or at the cursor, and has at most {_MOST} "
    "lines; 'rrdbg events' lists all.",
    takes=(Takes.EVENT_KIND, Takes.POSITION),
    examples=("events", "events 20% 30%", "events interrupt", "events serial start end", "events packet 50%"),
)  # fmt: skip
async def _events(session: Session, text: str) -> Result:
    log = session.replay.recording.layout.log
    words = text.split()
    kind = parse_kind(words.pop(0)) if words and words[0][0].isalpha() and words[0] not in ("start", "end") else None
    if len(words) > 2:
        raise UsageError("'events' takes a kind and two positions at most.")
    here = session.replay.position if kind else START
    start = await read_position(session, words[0]) if words else here
    end = await read_position(session, words[1]) if len(words) > 1 else None
    if kind is None:
        return EventCounts(tuple(await asyncio.to_thread(counts, log, start, end)))
    listed = await asyncio.to_thread(_list, session, kind, start, end or session.replay.timeline.end)
    return Events(tuple(listed[:_MOST]), more=len(listed) > _MOST)


def _list(session: Session, kind: EventKind, start: Position, end: Position) -> list[GuestEvent]:
    found = history(session.replay.recording.layout.log, {kind}, start.icount, end.icount + 1)
    return list(itertools.islice((event for event in found if start <= event.position <= end), _MOST + 1))


@EVENTS.command(
    "next-event", Category.EVENTS, "Go forward to the next event, or to the next one of a KIND.",
    arguments="[KIND]", repeats=True,
    details="Without a kind: interrupts, exceptions, input, serial bytes, packets, resets and shutdowns.",
    takes=(Takes.EVENT_KIND,),
    examples=("next-event", "next-event interrupt"),
)  # fmt: skip
async def _next_event(session: Session, text: str) -> list[Result]:
    here = session.replay.position
    end = session.replay.timeline.end
    kinds = {parse_kind(text)} if text else NOTABLE
    found = history(session.replay.recording.layout.log, kinds, here.icount, end.icount + 1)
    ahead = (event for event in found if here < event.position <= end)
    return await _go(session, await asyncio.to_thread(next, ahead, None), text, "after")


@EVENTS.command(
    "previous-event", Category.EVENTS, "Go back to the event before, or to the last one of a KIND.",
    arguments="[KIND]", repeats=True, takes=(Takes.EVENT_KIND,), examples=("previous-event", "previous-event packet"),
)  # fmt: skip
async def _previous_event(session: Session, text: str) -> list[Result]:
    kinds = {parse_kind(text)} if text else NOTABLE
    return await _go(session, await asyncio.to_thread(_last_before, session, kinds), text, "before")


def _last_before(session: Session, kinds: set[EventKind] | frozenset[EventKind]) -> GuestEvent | None:
    here = session.replay.position
    length = 1 << 20
    end = here.icount + 1
    while end > 0:
        start = max(end - length, 0)
        last = None
        for event in history(session.replay.recording.layout.log, kinds, start, end):
            last = event if event.position < here else last
        if last:
            return last
        end, length = start, length * 16
    return None


async def _go(session: Session, event: GuestEvent | None, kind: str, where: str) -> list[Result]:
    if event is None:
        what = f"event of the kind '{parse_kind(kind)}'" if kind else "event"
        raise OutOfRange(f"There is no {what} {where} {session.replay.position}.")
    stop = await session.replay.seek(event.position)
    return [Events((event,)), await session.stopped(stop)]


@EVENTS.command(
    "console", Category.EVENTS, "Show what the guest has printed up to here, with the position of each line.",
    arguments="[COUNT|all|follow on|follow off|--follow]",
    details=f"The last COUNT lines ({_CONSOLE_LINES}), or all that is ever printed. 'console follow on' shows after "
    "each movement forward what was printed on the way; '--follow' is short for it.",
    words=("all", "follow on", "follow off", "--follow"),
    examples=("console", "console all", "console follow on"),
)  # fmt: skip
async def _console(session: Session, text: str) -> Result:
    if text in ("--follow", "follow", "follow on", "follow off"):
        session.follow = text != "follow off"
        return Message(f"The console is {'followed' if session.follow else 'no longer followed'}.")
    if text and text != "all" and not text.isdecimal():
        raise UsageError("'console' takes a number of lines, all, or follow on|off.")
    console = await session.console()
    lines = list(console.lines(None if text == "all" else session.replay.position))
    return ConsoleLines(tuple(lines if text == "all" else lines[-int(text or _CONSOLE_LINES) :]))


@EVENTS.command(
    "seek console", Category.EVENTS, "Go to where the guest prints TEXT next, or for the first time.",
    arguments="TEXT",
    details="The cursor is left where the first character is about to be printed.",
    takes=(Takes.TEXT,),
    examples=('seek console "BUG:"', "seek console Kernel panic"),
)  # fmt: skip
async def _seek_console(session: Session, text: str) -> list[Result]:
    wanted = text.strip()
    if len(wanted) > 1 and wanted[0] == wanted[-1] and wanted[0] in "\"'":
        wanted = wanted[1:-1]
    if not wanted:
        raise UsageError("'seek console' needs a text.")
    console = await session.console()
    results: list[Result] = []
    found = console.find(wanted, session.replay.position)
    if found is None:
        found = console.find(wanted, Position(-1))
        if found is None:
            raise OutOfRange(f"The guest never prints {wanted!r}; 'console all' shows what it prints.")
        results.append(Message(f"It is not printed after {session.replay.position}; this is the first time."))
    return [*results, await session.stopped(await session.replay.seek(found))]


@EVENTS.command(
    "info console", Category.EVENTS, "Tell how much the guest prints.", examples=("info console",),
)  # fmt: skip
async def _info_console(session: Session, text: str) -> Result:
    nothing_more(text, "info console")
    console = await session.console()
    here = console.size_at(session.replay.position)
    return Message(f"{here:,} of {len(console.text):,} bytes are printed here.")
