"""Commands about places on the timeline that the user wants to come back to."""

from __future__ import annotations

from rrdbg.commands.arguments import nothing_more, read_repeat
from rrdbg.commands.registry import Category, Registry, Takes
from rrdbg.commands.session import Session
from rrdbg.errors import UsageError
from rrdbg.model.results import Bookmarks, Checkpoints, Message, Result
from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.position import START, Position

PLACES = Registry()


@PLACES.command(
    "back", Category.RUNNING, "Go back to the place where you were before, as in a browser.",
    arguments="[COUNT]", repeats=True,
    details="Each command that moves the cursor adds a place.", examples=("back", "back 3"),
)  # fmt: skip
async def _back(session: Session, text: str) -> Result:
    return await session.revisit(-read_repeat(text))


@PLACES.command(
    "forward", Category.RUNNING, "Go to the place that 'back' came from.",
    arguments="[COUNT]", repeats=True, examples=("forward",),
)  # fmt: skip
async def _forward(session: Session, text: str) -> Result:
    return await session.revisit(read_repeat(text))


@PLACES.command(
    "bookmark", Category.PLACES, "Give the cursor's position a name; 'seek @NAME' comes back.",
    arguments="NAME [NOTE]", takes=(Takes.BOOKMARK, Takes.TEXT),
    details="Bookmarks are kept with the recording.",
    examples=("bookmark oops", "bookmark oops here the list is broken already", "seek @oops"),
)  # fmt: skip
async def _bookmark(session: Session, text: str) -> Result:
    name, _, note = text.partition(" ")
    if not name.isidentifier():
        raise UsageError(f"'{name}' is not a name for a bookmark; use letters, digits and _.")
    session.replay.bookmark(name, Bookmark(session.replay.position, note.strip()))
    recording = session.replay.recording
    remark = "" if recording.writable else f" {recording.not_kept}"
    return Message(f"Bookmark @{name} at {session.replay.position}.{remark}")


@PLACES.command(
    "info bookmarks", Category.PLACES, "List the bookmarks and their notes.", examples=("info bookmarks",),
)  # fmt: skip
async def _info_bookmarks(session: Session, text: str) -> Result:
    nothing_more(text, "info bookmarks")
    timeline = session.replay.timeline
    ordered = sorted(timeline.bookmarks.items(), key=lambda item: item[1].position)
    return Bookmarks(dict(ordered), timeline.end)


@PLACES.command(
    "delete bookmark", Category.PLACES, "Forget a bookmark.",
    arguments="NAME", takes=(Takes.BOOKMARK,), examples=("delete bookmark oops",),
)  # fmt: skip
async def _delete_bookmark(session: Session, text: str) -> None:
    name = text.removeprefix("@")
    if name not in session.replay.timeline.bookmarks:
        raise UsageError(f"There is no bookmark '{name}'; 'info bookmarks' lists them.")
    session.replay.bookmark(name, None)


@PLACES.command(
    "checkpoint", Category.PLACES, "Remember the cursor's position by a number, for 'restart' in this session.",
    examples=("checkpoint",),
)  # fmt: skip
async def _checkpoint(session: Session, text: str) -> Result:
    nothing_more(text, "checkpoint")
    number = max(session.checkpoints, default=0) + 1
    session.checkpoints[number] = session.replay.position
    return Message(f"Checkpoint {number} at {session.replay.position}.")


@PLACES.command(
    "restart", Category.PLACES, "Go to a checkpoint, or to the start of the recording.",
    arguments="[NUMBER]", examples=("restart 1", "restart"),
)  # fmt: skip
async def _restart(session: Session, text: str) -> Result:
    target = _checkpoint_at(session, text)[1] if text else START
    return await session.stopped(await session.replay.seek(target))


@PLACES.command(
    "info checkpoints", Category.PLACES, "List the checkpoints of this session.", examples=("info checkpoints",),
)  # fmt: skip
async def _info_checkpoints(session: Session, text: str) -> Result:
    nothing_more(text, "info checkpoints")
    return Checkpoints(dict(session.checkpoints), session.replay.timeline.end)


@PLACES.command(
    "delete checkpoint", Category.PLACES, "Forget a checkpoint.",
    arguments="NUMBER", examples=("delete checkpoint 1",),
)  # fmt: skip
async def _delete_checkpoint(session: Session, text: str) -> None:
    del session.checkpoints[_checkpoint_at(session, text)[0]]


def _checkpoint_at(session: Session, text: str) -> tuple[int, Position]:
    number = int(text) if text.isdecimal() else 0
    if number not in session.checkpoints:
        raise UsageError(f"There is no checkpoint '{text}'; 'info checkpoints' lists them.")
    return number, session.checkpoints[number]
