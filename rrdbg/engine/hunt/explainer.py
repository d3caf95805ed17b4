"""More runs of a guest that has failed: does it fail again, with how little, and which run is like it but passes?"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from rrdbg.engine.hunt.attempt import Guest, Judge, attempt, course_of, keep
from rrdbg.engine.hunt.hunter import Run
from rrdbg.model.hunt.explanation import Explanation
from rrdbg.model.hunt.perturbation import Aspect, Perturbation
from rrdbg.store.library import Library
from rrdbg.store.workfolder import WorkFolder

TRIES = 3
"""Runs with the same perturbation that must all fail before it is taken for the reason."""


class Explainer:
    """Explains one failed run; ``on_try`` is told of each more that is made, and whether it failed."""

    def __init__(
        self,
        guest: Guest,
        judge: Judge,
        library: Library,
        on_try: Callable[[Perturbation, str | None], None] = lambda perturbation, failed: None,
    ) -> None:
        self._guest = guest
        self._judge = judge
        self._library = library
        self._on_try = on_try
        self._made = 0
        self._best: Path | None = None
        self._common = -1

    async def explain(self, run: Run, name: str) -> Explanation:
        """Explain ``run``; the most similar one that passes is kept in the library as the next one called ``name``.

        :raises LinkError: QEMU fails.
        """
        with WorkFolder(self._library.root.absolute()) as folder:
            again = [await self._try(run, run.perturbation, folder) for _ in range(TRIES)]
            needed = await self._needed(run, folder) if all(again) else None
            passed = keep(self._best, self._library, name) if self._best else None
            return Explanation(TRIES, sum(again), needed, passed, max(self._common, 0))

    async def _needed(self, run: Run, folder: Path) -> Perturbation:
        """The perturbation without each aspect that can be left out after those before it."""
        needed = run.perturbation
        # Without a fixed end of idle time chance has a part again, and what failed each time may have failed by chance.
        for aspect in sorted(needed.aspects, key=lambda aspect: aspect is Aspect.IDLE):
            if await self._always_fails(run, needed.without(aspect), folder):
                needed = needed.without(aspect)
        return needed

    async def _always_fails(self, run: Run, perturbation: Perturbation, folder: Path) -> bool:
        for _ in range(TRIES):
            if not await self._try(run, perturbation, folder):
                return False
        return True

    async def _try(self, run: Run, perturbation: Perturbation, folder: Path) -> bool:
        """Whether the guest fails with ``perturbation``; what passes and is more like ``run`` than all before stays.

        One that begins elsewhere is like it nowhere: both count their instructions from where they begin.
        """
        self._made += 1
        directory = folder / f"try-{self._made}"
        recorded = await attempt(self._guest, perturbation, directory)
        failed = await self._judge(recorded)
        self._on_try(perturbation, failed)
        common = course_of(recorded).common(run.tried.course)
        drop = directory
        if failed is None and perturbation.place == run.perturbation.place and common > self._common:
            drop, self._best, self._common = self._best or folder / "none", directory, common
        shutil.rmtree(drop, ignore_errors=True)
        return failed is not None
