"""What a bisect shows: a line for each probe, as git does, and at the end the culprit; or JSON lines."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Sequence

from rrdbg.engine.queries.changes import Change
from rrdbg.errors import GdbError
from rrdbg.frontends.api import AsyncReplay
from rrdbg.frontends.bisect.choosing import Asked
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.model.hits.bisection import Bisection, Judgement, Probe, Turn, Verdict
from rrdbg.model.results import Frame, Where
from rrdbg.model.timeline.position import Position

_COMPARISON = re.compile(r"==|!=|<=|>=|(?<![<>-])[<>](?![<>])|&&|\|\|")
_RECENT = 8
"""Probes by whose time the time is guessed that is left."""

_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


class Report:
    """Prints what is found for ``wanted``."""

    def __init__(self, api: AsyncReplay, wanted: Asked, *, json: bool, quiet: bool) -> None:
        self.quiet = quiet or json
        self._api = api
        self._wanted = wanted
        self._json = json
        self._line = ProgressLine(quiet=self.quiet)
        self._seconds: list[float] = []
        self._began = time.monotonic()

    def begin(self, bisection: Bisection, known: Sequence[Probe]) -> None:
        """What is to be done."""
        resumed = f" {len(known)} probes are known." if known else ""
        self._line.say(
            f"Bisecting {bisection.remaining:,} instructions{_whose(bisection)} between {bisection.good} and "
            f"{bisection.bad}: about {bisection.rounds} probes.{resumed}"
        )

    def probe(self, probe: Probe, left: Bisection) -> None:
        """One more is known."""
        self._seconds.append(probe.seconds)
        # The first one at the far end may replay everything; it leaves snapshots for the others.
        eta = left.rounds * statistics.median_low(self._seconds[-_RECENT:])
        if self._json:
            content = {"value": probe.value, "seconds": round(probe.seconds, 3), "eta_seconds": round(eta, 1)}
            ends = {"good": _plain(left.good), "bad": _plain(left.bad), "rounds": left.rounds}
            self._print("probe", position=_plain(probe.position), verdict=probe.verdict.value, **content, **ends)
            return
        self._line.say(
            f"{len(self._seconds):>3}. {probe.position!s:>17}  {probe.verdict:<4}  {probe.value[:40]:<24}  "
            f"{left.remaining:,} left, about {left.rounds} probes, {eta:.0f} s"
        )

    def interrupted(self, left: Bisection, log: str | None) -> None:
        """Where it lies as far as is known; all of it is in the file ``log``."""
        if self._json:
            self._print("interrupted", good=_plain(left.good), bad=_plain(left.bad))
        else:
            resume = f", or: --resume {log}" if log else ""
            self._line.say(f"Broken off; go on with: --good {_typed(left.good)} --bad {_typed(left.bad)}{resume}")

    async def turn(self, turn: Turn) -> int:
        """The culprit; the exit status is 3 if positions before it could not be judged."""
        api = self._api
        old, new = turn.old, turn.new
        if turn.elsewhere:
            # At the end of the run before, the memory of the next task is in use: what was judged is told.
            await api.seek(turn.place)
        else:
            await api.seek(turn.position)
            new = await self._value() or new
            await api.seek(turn.before)
            old = await self._value() or old
        (where,) = await api.run("when")
        assert isinstance(where, Where)
        backtrace = (await api.gdb("backtrace")).rstrip() if await api.has_gdb() else ""
        if self._json:
            frame = where.frame
            self._print(
                "turn", position=_plain(turn.position), before=_plain(turn.before), predicate=str(self._wanted),
                pc=where.pc, instruction=where.instruction, function=frame.function if frame else None,
                file=frame.file if frame else None, line=frame.line if frame else None, old=old, new=new,
                backtrace=backtrace.splitlines(), probes=turn.probes, seconds=round(turn.seconds, 1),
                skipped=turn.skipped, elsewhere=turn.elsewhere,
            )  # fmt: skip
        else:
            print(
                f"{turn.position} ({turn.position.percent(api.end):.1f}%) is the first position where {self._wanted}."
            )
            if turn.skipped:
                print(f"Before it {turn.skipped} positions could not be judged; it may be any of them.")
            if turn.elsewhere:
                print(f"{turn.told_elsewhere} The task goes on at  {where.pc:#x}: {where.instruction}")
            else:
                print(f"From {turn.before} the step to it is  {where.pc:#x}: {where.instruction}")
            print(*_source(where.frame), f"  Old value = {old}\n  New value = {new}", sep="\n")
            print(backtrace or "There is no GDB, and so no backtrace.")
            print(
                f"{turn.probes} probes, {turn.seconds:.1f} s. "
                f"Look around: rrdbg replay {api.cursor.recording.name} --at {_typed(turn.place)}"
            )
        return 3 if turn.skipped else 0

    def change(self, change: Change) -> bool:
        """One change; whether something holds from then on."""
        holds = change.now.verdict is Verdict.BAD
        if self._json:
            content = {"old": change.before.value, "new": change.now.value, "holds": holds}
            self._print("change", position=_plain(change.position), **content)
        else:
            mark = _mark(change.now)
            print(f"{change.position!s:>17}  {mark:<5}  {change.before.value} -> {change.now.value}", flush=True)
        return holds

    def scanned(self, bisection: Bisection) -> None:
        """All changes are told."""
        self._line.say(f"These are all changes between {bisection.good} and {bisection.bad}.")

    async def _value(self) -> str:
        """What is compared, at the cursor: the expression up to the comparison in it."""
        if self._wanted.kind != "expr":
            return ""
        try:
            return await (await self._api.debugger()).symbols.value(compared(self._wanted.words[0]))
        except GdbError as error:
            return f"<{error}>"

    def _print(self, kind: str, **content: object) -> None:
        print(json.dumps({"kind": kind, **content}), flush=True)


def compared(expression: str) -> str:
    """The left side of the first comparison in a C expression that is in no brackets; all of it if there is none.

    >>> compared("tasks[a > b].magic != 5"), compared("task->used & 1"), compared("(a == b)")
    ('tasks[a > b].magic', 'task->used & 1', '(a == b)')
    """
    depth = [0]
    for char in expression:
        depth.append(depth[-1] + _BRACKETS.get(char, 0))
    found = next((match for match in _COMPARISON.finditer(expression) if depth[match.start()] == 0), None)
    left = expression[: found.start()].strip() if found else ""
    return left or expression


def _whose(bisection: Bisection) -> str:
    return f" of task {bisection.task}" if bisection.task else ""


def _source(frame: Frame | None) -> list[str]:
    """The line of source that GDB shows under a frame."""
    return frame.text.split("\n")[1:2] if frame else []


def _mark(judgement: Judgement) -> str:
    return {Verdict.BAD: "true", Verdict.GOOD: "false", Verdict.SKIP: "skip"}[judgement.verdict]


def _plain(position: Position) -> dict[str, int]:
    return {"icount": position.icount, "phase": position.phase}


def _typed(position: Position) -> str:
    return str(position).replace(",", "")
