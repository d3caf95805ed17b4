"""Asking the shell's commands, and what the guest has printed."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

from rrdbg.commands.help import COMMANDS
from rrdbg.commands.session import Session
from rrdbg.engine.replay import Replay
from rrdbg.model.results import Result
from rrdbg.model.timeline.position import START, Position
from rrdbg.store.history import Console


async def answers(session: Session, line: str) -> list[Result]:
    """What the command ``line`` answers."""
    async with aclosing(COMMANDS.run(session, line)) as results:
        return [result async for result in results]


def console_of(recording: Path) -> str:
    """All that the guest has printed."""
    return (recording / "console.log").read_text()


def printed(replay: Replay, text: str) -> Position:
    """Where the guest has printed ``text``."""
    layout = replay.recording.layout
    found = Console.read(layout.log, layout.console).find(text, START)
    assert found
    return found
