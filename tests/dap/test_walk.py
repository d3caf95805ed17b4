"""Random movements, as an editor's buttons make them, which the oracle judges."""

from __future__ import annotations

import os
import random
from bisect import bisect_left
from pathlib import Path

from rrdbg.model.timeline.position import Position
from tests.dap.editor import Editor, Message, editing
from tests.guests.build import symbol
from tests.oracle import Oracle

SEED = 20261127
MOVEMENTS = int(os.environ.get("RRDBG_EXAMPLES", "30"))


class Walk:
    """Where the editor stands by the oracle's word, and where each movement must lead."""

    def __init__(self, editor: Editor, oracle: Oracle, chance: random.Random, variable: tuple[str, int]) -> None:
        self._editor = editor
        self._oracle = oracle
        self._chance = chance
        self._name, self._address = variable
        self.here = len(oracle) // 2
        self.trace: list[str] = []

    async def once(self) -> bool:
        """Move, and see that it led where it had to; false if chance picked what leads out of the stretch."""
        movements = (self._step, self._step, self._seek, self._breakpoint, self._breakpoint, self._data)
        stop = await self._chance.choice(movements)()
        if stop is None:
            return False
        entry, trace = self._oracle[self.here], "\n".join(self.trace[-8:])
        assert Position(stop["icount"], stop["phase"]) == entry.position, f"{stop} after\n{trace}"
        frames = (await self._editor.ask("stackTrace", threadId=1, levels=1))["stackFrames"]
        assert int(frames[0]["instructionPointerReference"], 16) == entry.pc, trace
        return True

    async def _move(self, goal: int, command: str, **arguments: object) -> Message:
        self.trace.append(f"[{self.here}] {command} {arguments} -> [{goal}]")
        self.here = goal
        return await self._editor.move(command, **arguments)

    async def _step(self) -> Message | None:
        back = self._chance.random() < 0.6
        goal = self.here + (-1 if back else 1)
        if not 0 <= goal < len(self._oracle):
            return None
        return await self._move(goal, "stepBack" if back else "stepIn", threadId=1, granularity="instruction")

    async def _seek(self) -> Message:
        goal = self._chance.randrange(len(self._oracle))
        return await self._move(goal, "rrdbg/seek", position=str(self._oracle[goal].position))

    async def _run(self, goals: list[int], *, back: bool) -> Message | None:
        """On to the nearest of the stops ``goals``, which are in order."""
        place = bisect_left(goals, self.here if back else self.here + 1)
        if back and place:
            return await self._move(goals[place - 1], "reverseContinue", threadId=1)
        if not back and place < len(goals):
            return await self._move(goals[place], "continue", threadId=1)
        return None

    async def _breakpoint(self) -> Message | None:
        address = self._oracle[self._chance.randrange(len(self._oracle))].pc
        if self._oracle[self.here].pc == address:
            return None  # GDB steps off it first, and that may end in the middle of an interrupt's delivery
        points = [{"instructionReference": hex(address)}]
        (told,) = (await self._editor.ask("setInstructionBreakpoints", breakpoints=points))["breakpoints"]
        stop = await self._run(self._oracle.hits(address), back=self._chance.random() < 0.6)
        await self._editor.ask("setInstructionBreakpoints", breakpoints=[])
        assert stop is None or (stop["reason"], stop["hitBreakpointIds"]) == ("instruction breakpoint", [told["id"]])
        return stop

    async def _data(self) -> Message | None:
        """A change: back, the stop is before the instruction that made it, forward behind it."""
        back = self._chance.random() < 0.6
        info = await self._editor.ask("dataBreakpointInfo", name=self._name)
        (told,) = (await self._editor.ask("setDataBreakpoints", breakpoints=[{"dataId": info["dataId"]}]))[
            "breakpoints"
        ]
        changes = self._oracle.changes(self._address)
        stop = await self._run(changes if back else [change + 1 for change in changes], back=back)
        await self._editor.ask("setDataBreakpoints", breakpoints=[])
        assert stop is None or (stop["reason"], stop["hitBreakpointIds"]) == ("data breakpoint", [told["id"]])
        return stop


async def test_random_movements(workload: Path, workload_guest: Path, busy: Oracle, tmp_path: Path) -> None:
    variable = "counter", symbol(workload_guest, "counter").address
    async with editing(tmp_path, str(workload)) as editor:
        await editor.begin()
        walk = Walk(editor, busy, random.Random(SEED), variable)
        await editor.move("rrdbg/seek", position=str(busy[walk.here].position))
        done = 0
        while done < MOVEMENTS:
            done += await walk.once()
        assert await editor.ask("disconnect") == {}
    did = " ".join(walk.trace)
    assert all(command in did for command in ("stepBack", "stepIn", "reverseContinue", "continue", "rrdbg/seek"))
