"""Whether a run has failed: what it printed, how it ended, and what bisect's predicates say of its last position."""

from __future__ import annotations

import argparse
import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path

from rrdbg.engine.making.recorder import Recorded
from rrdbg.errors import UsageError
from rrdbg.frontends.api import AsyncReplay
from rrdbg.frontends.bisect.choosing import Asked, check_had_value, predicate
from rrdbg.frontends.bisect.python import load
from rrdbg.frontends.shared.options import gdb_of
from rrdbg.model.hits.bisection import Verdict
from rrdbg.model.hits.predicate import MemoryTest
from rrdbg.model.hunt.criterion import ENDS, Criterion
from rrdbg.store.layout import Layout


class CriteriaJudge:
    """A run has failed where any of ``criteria`` holds; they are asked in the order in which they cost more."""

    def __init__(self, criteria: Sequence[Criterion], arguments: argparse.Namespace) -> None:
        """Check what can be checked before the first run.

        :raises UsageError: one is malformed.
        """
        self._criteria = sorted(criteria, key=lambda criterion: criterion.needs_replay)
        self._arguments = arguments
        for criterion in criteria:
            match criterion.kind:
                case "memory":
                    MemoryTest.read(criterion.value)
                case "python":
                    load(criterion.value)
                case "run":
                    _words(criterion.value)

    async def __call__(self, recorded: Recorded) -> str | None:
        """Why it has failed; None if it has not."""
        for criterion in self._criteria:
            if not criterion.needs_replay and await self._told(criterion, recorded):
                return str(criterion)
        asked = [criterion for criterion in self._criteria if criterion.needs_replay]
        return await self._asked(asked, recorded.directory) if asked else None

    async def _told(self, criterion: Criterion, recorded: Recorded) -> bool:
        """What is known without the guest."""
        console = await asyncio.to_thread(Layout(recorded.directory).console.read_bytes)
        if criterion.kind == "console":
            return criterion.value.encode() in console
        done = self._arguments.done_console
        # What was printed while the recording was being ended has been in time: the run was slow, and has not hung.
        late = criterion.value == "timeout" and done and done.encode() in console
        return recorded.ended.startswith(ENDS[criterion.value]) and not late

    async def _asked(self, criteria: Sequence[Criterion], directory: Path) -> str | None:
        arguments = self._arguments
        gdb = gdb_of(arguments)
        # One process: there is nothing to be searched, and other runs go on beside.
        api = await AsyncReplay.open(directory, symbols=arguments.symbols, gdb=gdb, trust=True, jobs=1)
        async with api:
            for criterion in criteria:
                words = _words(criterion.value) if criterion.kind == "run" else (criterion.value,)
                await api.seek(api.end)
                async with predicate(Asked(criterion.kind, words), api, arguments) as judge:
                    judgement = await judge.judge(api.cursor)
                    if judgement.verdict is Verdict.BAD:
                        return f"{criterion} ({judgement.value})" if judgement.value else str(criterion)
                    check_had_value(judge)
        return None


def _words(command: str) -> tuple[str, ...]:
    """A command as a shell would split it; none is run.

    :raises UsageError: a quotation mark is missing, or the command.
    """
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise UsageError(f"--if run={command}: {error}.") from None
    if not words:
        raise UsageError("--if run= needs a command.")
    return words
