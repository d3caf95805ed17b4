"""What the guest's two processes of one program have said of themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rrdbg.engine.replay import Replay
from rrdbg.model.timeline.position import Position
from tests.guests.build import symbol
from tests.guests.linux.tasks import Tasks
from tests.linux.asked import console_of, printed


@dataclass(frozen=True)
class Told:
    """Where the variable ``victim`` and the function ``work`` lie, and how often each process has written to it."""

    victim: int
    work: int
    wrote: dict[int, int]
    start: Position
    end: Position

    @property
    def stretch(self) -> str:
        return f"from {self.start.icount} to {self.end.icount}"


def told_by(replay: Replay, tasks_guest: Tasks) -> Told:
    """What was printed in the recording, from where the program begins to the end."""
    text = console_of(replay.recording.layout.root)
    main = re.search(r"witness: main (0x[0-9a-f]+)", text)
    assert main
    moved = int(main[1], 16) - symbol(tasks_guest.program, "main").address
    wrote = {int(pid): int(times) for pid, times in re.findall(r"witness: (\d+) wrote (\d+) times", text)}
    assert sorted(wrote.values()) == [3, 5]
    victim, work = (symbol(tasks_guest.program, name).address + moved for name in ("victim", "work"))
    return Told(victim, work, wrote, printed(replay, "witness: main"), replay.timeline.end)
