"""Run after run of a guest, some at a time, each perturbed in another way; what fails is kept, all else dropped.

A run lies in a :class:`~rrdbg.store.workfolder.WorkFolder` beside the recordings until it has failed. What a hunt
leaves there that was killed is removed by the next one; its QEMUs die with it.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from rrdbg.engine.hunt.attempt import Guest, Tried, Tries, keep
from rrdbg.errors import QemuDied, RecordingError, Stalled, WorkerFailed
from rrdbg.model.hunt.course import Courses
from rrdbg.model.hunt.perturbation import Choices, Perturbation
from rrdbg.model.hunt.tally import Tally, runs_needed
from rrdbg.store.library import Library
from rrdbg.store.workfolder import WorkFolder

_BROKEN_IN_A_ROW = 3
"""A QEMU may die, or hang on a busy host; when so many runs did so one after another, all will."""

_SAME_IN_A_ROW = 50
"""Runs that were all the same as earlier ones, after which no new one is to be expected."""


class Reason(StrEnum):
    """Why a hunt has ended."""

    KEPT = "kept"
    RUNS = "runs"
    TIME = "time"
    SHOWN = "shown"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class HuntRequest:
    """What to hunt in, and for how long.

    Runs are numbered from ``first`` on. The hunt ends after ``runs`` of them or ``seconds``, when ``keep`` failures
    were kept unless it ``goes_on`` to count, or when it is shown, with ``confidence``, that less than the share
    ``below`` of runs fail.
    """

    guest: Guest
    seed: int
    choices: Choices
    first: int = 0
    runs: int | None = None
    seconds: float | None = None
    keep: int = 1
    goes_on: bool = False
    below: float | None = None
    confidence: float = 0.95


@dataclass(frozen=True, slots=True)
class Run:
    """One run that has ended: ``same_as`` says which earlier one was the same, ``recording`` where it was kept."""

    number: int
    perturbation: Perturbation
    tried: Tried
    same_as: int | None = None
    recording: Path | None = None

    @property
    def failed(self) -> str | None:
        """Why it has failed; None if it has not."""
        return self.tried.failed


class Hunter:
    """One hunt; :meth:`run` does it, and :attr:`tally`, :attr:`instructions` and :attr:`kept` tell how far it is."""

    def __init__(
        self,
        request: HuntRequest,
        tries: Tries,
        library: Library,
        name: str,
        on_run: Callable[[Run], None] = lambda run: None,
        on_broken: Callable[[int, Exception], None] = lambda number, error: None,
    ) -> None:
        self.request = request
        self.tally = Tally()
        self.kept: list[Run] = []
        self.began = time.monotonic()
        self.instructions = 0
        """Of all runs together."""
        self._tries = tries
        self._library = library
        self._name = name
        self._on_run = on_run
        self._on_broken = on_broken
        # By how they ended and where they began, from where they count their instructions.
        self._seen: defaultdict[tuple[bool, int | None], Courses] = defaultdict(Courses)
        self._broken = 0
        self._same = 0
        self._numbers: Iterator[int] = itertools.count(request.first)
        self._reason: Reason | None = None

    @property
    def jobs(self) -> int:
        """How many runs there are at a time."""
        return self._tries.jobs

    async def run(self) -> Reason:
        """Hunt, and tell why it is over.

        :raises UsageError: the guest cannot be recorded.
        :raises QemuLaunchError: QEMU does not start.
        :raises LinkError: QEMU fails in one run after another.
        """
        self.began = time.monotonic()
        request = self.request = replace(self.request, guest=await self.request.guest.known())
        if request.runs is not None:
            self._numbers = iter(range(request.first, request.first + request.runs))
        self._library.root.mkdir(parents=True, exist_ok=True)
        with WorkFolder(self._library.root.absolute()) as folder:
            workers = [asyncio.create_task(self._work(folder)) for _ in range(self.jobs)]
            try:
                await self._until_over(workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        return self._reason or Reason.RUNS

    async def _until_over(self, workers: Sequence[asyncio.Task[None]]) -> None:
        """Wait for the end of all workers, of one that fails, or of the hunt."""
        left = set(workers)
        try:
            async with asyncio.timeout(self.request.seconds):
                while left and self._reason is None:
                    done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                    for worker in done:
                        worker.result()
        except TimeoutError:
            self._reason = Reason.TIME

    async def _work(self, folder: Path) -> None:
        for number in self._numbers:
            directory = folder / f"run-{number}"
            try:
                run = await self._one(number, directory)
            except (QemuDied, Stalled, RecordingError, WorkerFailed) as error:
                self._broken += 1
                self._on_broken(number, error)
                if self._broken >= _BROKEN_IN_A_ROW:
                    raise
                continue
            finally:
                shutil.rmtree(directory, ignore_errors=True)
            self._broken = 0
            self._on_run(run)
            self._reason = self._reason or self._over()
            if self._reason is not None:
                return

    async def _one(self, number: int, directory: Path) -> Run:
        perturbation = self.request.choices.of_run(self.request.seed, number)
        tried = await self._tries.make(self.request.guest, perturbation, directory)
        self.instructions += tried.icount
        failed = tried.failed is not None
        same_as = self._seen[failed, perturbation.place].add(tried.course, number)
        self._same = 0 if same_as is None else self._same + 1
        self.tally = self.tally.plus(failed=failed, repeated=same_as is not None)
        run = Run(number, perturbation, tried, same_as)
        if failed and same_as is None and len(self.kept) < self.request.keep:
            run = replace(run, recording=keep(directory, self._library, self._name))
            self.kept.append(run)
        return run

    def _over(self) -> Reason | None:
        request = self.request
        if len(self.kept) >= request.keep and not request.goes_on:
            return Reason.KEPT
        if request.below is not None and self.tally.at_most(request.confidence) < request.below:
            return Reason.SHOWN
        return Reason.SAME if self._same >= _SAME_IN_A_ROW else None

    @property
    def seconds_left(self) -> float | None:
        """How long it may still take at most, at the speed so far; None if nothing limits it, or nothing has ended."""
        request, tally = self.request, self.tally
        elapsed = time.monotonic() - self.began
        limits = [] if request.seconds is None else [request.seconds - elapsed]
        if tally.runs:
            if request.runs is not None:
                limits.append((request.runs - tally.runs) * elapsed / tally.runs)
            if request.below is not None and not tally.failures and tally.different:
                needed = runs_needed(request.below, request.confidence)
                limits.append((needed - tally.different) * elapsed / tally.different)
        return max(min(limits), 0.0) if limits else None
