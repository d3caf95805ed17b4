"""rrdbg's own requests: questions about all of time, for clients that know them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import aclosing

from rrdbg.commands.help import COMMANDS
from rrdbg.engine.queries.tracks import timeline_tracks
from rrdbg.errors import UsageError
from rrdbg.frontends.dap.channel import Body
from rrdbg.frontends.dap.requests import Requests, Then
from rrdbg.frontends.dap.session import Session
from rrdbg.model.document import Document
from rrdbg.model.hits.stop import Stop
from rrdbg.model.results import Changed, Found, Message, TimelineView
from rrdbg.model.timeline.events import GuestEvent
from rrdbg.model.timeline.position import START
from rrdbg.render.json_lines import to_plain
from rrdbg.render.page import timeline_page

ASKING = Requests()

MOST_FOUND = 1000
"""Places that one answer has at most; it says whether there are more."""


def _lists(verb: str, subject: str) -> None:
    @ASKING.answers(f"rrdbg/{verb}")
    async def ask(session: Session, arguments: Document) -> Body:
        words = [verb, arguments[subject].text()]
        for name, word in (("start", "from"), ("end", "to")):
            if (end := arguments.get(name)) is not None:
                words += [word, str(await session.replay.position_of(end.text()))]
        limit = arguments.get("limit")
        return await _found(session, " ".join(words), MOST_FOUND if limit is None else limit.integer(1, MOST_FOUND))


for _verb, _subject in (("writes", "expression"), ("reads", "expression"), ("calls", "function")):
    _lists(_verb, _subject)


@ASKING.answers("rrdbg/origin")
async def _origin(session: Session, arguments: Document) -> Body:
    return await _found(session, f"origin {arguments['expression'].text()}", MOST_FOUND)


async def _found(session: Session, line: str, limit: int) -> Body:
    """What a query finds; ``complete`` is false if it was ended at ``limit``."""
    places: list[Body] = []
    told: list[str] = []
    complete = True
    async with aclosing(COMMANDS.run(session.debugger.session, line)) as answers:
        async for answer in answers:
            if isinstance(answer, Found):
                if len(places) == limit:
                    complete = False
                    break
                places.append(
                    {"position": session.position(answer.position), "text": answer.text, "fields": answer.fields}
                )
            elif isinstance(answer, Message):
                told.append(answer.text)
    return {"found": places, "complete": complete, "messages": told}


def _changes(verb: str) -> None:
    @ASKING.answers(f"rrdbg/{verb}")
    async def ask(session: Session, arguments: Document) -> Then:
        line = f"{verb} {arguments['expression'].text()}"
        body: Body = {}
        stop: Stop | None = None
        async with aclosing(COMMANDS.run(session.debugger.session, line)) as answers:
            async for answer in answers:
                if isinstance(answer, Changed):
                    stop = answer.stopped.stop
                    body |= {"before": answer.before, "after": answer.after, "cause": answer.cause}
        body |= {"position": session.position()}

        async def told() -> Stop | None:
            return stop

        return Then(lambda: session.stop_after(told, "data breakpoint"), body)


for _verb in ("last", "first"):
    _changes(_verb)


@ASKING.answers("rrdbg/bookmarks")
async def _bookmarks(session: Session, arguments: Document) -> Body:
    """All of them; with a ``name`` the cursor's position is given that name, and a ``note``, before."""
    if (name := arguments.get("name")) is not None:
        note = arguments.get("note")
        await session.replay.bookmark(name.text(100), "" if note is None else note.text(1000))
    marks = sorted(session.replay.bookmarks.items(), key=lambda item: item[1].position)
    return {
        "bookmarks": [
            {"name": name, "position": session.position(mark.position), "note": mark.note} for name, mark in marks
        ]
    }


@ASKING.answers("rrdbg/events")
async def _events(session: Session, arguments: Document) -> Body:
    """What came from outside, of a ``kind`` or all notable ones; the first ``limit``, or the ``last`` before here."""
    kind, limit, last = (arguments.get(name) for name in ("kind", "limit", "last"))
    most = MOST_FOUND if limit is None else limit.integer(1, MOST_FOUND)
    backwards = last is not None and last.flag()
    end = session.replay.position if backwards else session.replay.end
    found: deque[GuestEvent] = deque(maxlen=most)
    if end == START:
        return {"events": []}
    async with aclosing(session.replay.events(None if kind is None else kind.text(20), "start", end)) as events:
        async for event in events:
            found.append(event)
            if not backwards and len(found) == most:
                break
    return {
        "events": [
            {"kind": str(event.kind), "text": event.text, "position": session.position(event.position)}
            for event in found
        ]
    }


@ASKING.answers("rrdbg/timeline")
async def _timeline(session: Session, arguments: Document) -> Body:
    """The timeline as values, or with ``form`` "html" as a page."""
    form = arguments.get("form")
    replay = session.replay.cursor
    forms: dict[str, Callable[[], Body]] = {
        "json": lambda: to_plain(TimelineView(replay.timeline, replay.position)),
        "html": lambda: {"page": timeline_page(timeline_tracks(replay.recording, replay.timeline))},
    }
    chosen = "json" if form is None else form.text(10)
    if chosen not in forms:
        raise UsageError(f"A timeline has the forms {' and '.join(forms)}, not {chosen}.")
    return forms[chosen]()
