"""The line below the prompt, made from what is known already: it is drawn at each key."""

from __future__ import annotations

from rrdbg.commands.session import Session
from rrdbg.model.size import counted, size_text
from rrdbg.model.timeline.clock import format_time

_BETWEEN = " | "


def toolbar(session: Session, width: int) -> str:
    """Position and end, function, task, guest time, snapshots and their size, the next one; what fits in ``width``."""
    text = ""
    for part in _parts(session):
        longer = f"{text}{_BETWEEN}{part}" if text else f" {part}"
        if len(longer) >= width:
            break
        text = longer
    return text


def _parts(session: Session) -> list[str]:
    replay = session.replay
    here, timeline = replay.position, replay.timeline
    parts = [f"{here} of {timeline.end}"]
    if session.shown_frame and session.shown_frame.function:
        parts.append(session.shown_frame.function)
    if session.shown_running:
        parts.append(str(session.shown_running))
    if clock := session.known_clock:
        parts.append(format_time(clock.at(here))[11:-3])
    size = sum(snapshot.size for snapshot in timeline.snapshots)
    parts.append(f"{counted(len(timeline.snapshots), 'snapshot')} {size_text(size)}")
    if following := timeline.after(here.icount):
        parts.append(f"next one +{following.icount - here.icount:,}")
    return parts
