"""Runs measures with each rival in turn, under a watchdog, and starts a rival anew that has failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.measures import Course, Measure
from benchmarks.outcome import Clock, Outcome
from benchmarks.processes import memory
from benchmarks.rival import CannotDo, Rival, Wrong
from rrdbg.errors import QemuDied, RrdbgError

BUDGET_SECONDS = 20.0
"""After so many seconds of movements a measure is not carried on; what is missing is taken to be like what was made."""

PATIENCE_SECONDS = 120.0
"""What else one measure may take: the way to where it begins, and one movement that began in the budget."""

Listener = Callable[[str, Measure, Outcome], None]
"""Told of each outcome: the rival's name first."""


@dataclass(slots=True)
class Result:
    """One rival's outcomes, by the measure's name, and the most that it has taken: bytes of memory, and of disk."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    memory: int = 0
    disk: int = 0


async def run(
    rival: Rival,
    measures: Sequence[Measure],
    course: Course,
    tell: Listener,
    budget: float = BUDGET_SECONDS,
    patience: float = PATIENCE_SECONDS,
) -> Result:
    """Run ``measures`` with ``rival``, which is opened here and ended in any case."""
    result = Result()
    opened = False
    try:
        for measure in measures:
            if not opened:
                opened, refusal = await _open(rival)
            clock = Clock(budget, measure.count)
            if opened:
                outcome, opened = await _run(rival, measure, course, clock, budget + patience)
                result.memory = max(result.memory, memory(rival.pids()))
                result.disk = max(result.disk, rival.disk_bytes())
            else:
                outcome = clock.outcome(refusal)
            if not opened:
                await rival.close()
            result.outcomes[measure.name] = outcome
            tell(rival.name, measure, outcome)
    finally:
        await rival.close()
        rival.remove()
    return result


async def _open(rival: Rival) -> tuple[bool, str]:
    try:
        await rival.open()
    except CannotDo as reason:
        return False, f"cannot: {reason}"
    except RrdbgError as error:
        return False, f"fails: {str(error).splitlines()[0]}"
    return True, ""


async def _run(
    rival: Rival, measure: Measure, course: Course, clock: Clock, seconds: float
) -> tuple[Outcome, bool]:  # fmt: skip
    """The outcome, and whether the rival can be used on."""
    try:
        async with asyncio.timeout(seconds):
            await measure.run(rival, course, clock)
    except CannotDo as reason:
        return clock.outcome("" if clock.seconds else f"cannot: {reason}"), True
    except Wrong as error:
        return clock.outcome(f"wrong: {error}"), False
    except TimeoutError:
        return clock.outcome(await rival.trouble()), False
    except QemuDied:
        return clock.outcome("QEMU dies"), False
    except RrdbgError as error:
        return clock.outcome(f"fails: {str(error).splitlines()[0]}"), False
    return clock.outcome(), True
