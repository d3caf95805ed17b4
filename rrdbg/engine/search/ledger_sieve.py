"""Searches that believe what the plugin has told where it counts as QEMU does, and look at one hit of each part.

See :mod:`rrdbg.engine.search.ledger`. What it cannot tell a scan looks at, in a small window, or where there is much of
that in the whole part.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from rrdbg.engine.search.ledger import Ledger, Page
from rrdbg.engine.search.roots import Roots, UnknownRootError
from rrdbg.engine.search.sieve import Sieve, Window
from rrdbg.links.tally import Sighting
from rrdbg.links.watchdog import ProgressCallback
from rrdbg.model.hits.stop import Breakpoint, Hit
from rrdbg.model.timeline.position import Position


class UntoldError(Exception):
    """The plugin has not told all of a hit: somebody has to look."""


class LedgerSieve(Sieve):
    """Such a search; with ``changes`` for writes.

    A window takes as long as ``stops_of_a_window`` of a scan, and begins ``slack`` instructions before what is meant.
    """

    stops_of_a_window = 10
    slack = 0
    changes = False

    _roots: Roots

    async def _windows(
        self, start: Position, end: Position, on_progress: ProgressCallback | None
    ) -> AsyncGenerator[Window, None]:
        assert self._judging is not None
        ledger = Ledger(self._accelerator, self._timeline, self._points, self._judging, changes=self.changes)
        async with aclosing(ledger.pages(start, end, on_progress)) as pages:
            async for page in pages:
                for window in await self._windows_of(page):
                    yield window

    async def _windows_of(self, page: Page) -> list[Window]:
        """What is known of ``page``, and what is to be scanned, in order."""
        whole = [Window(page.start, page.end, None)]
        if page.sightings is None or page.survey is None:
            return whole
        hits: list[Hit] = []
        scans: list[Window] = []
        for sighting in page.sightings:
            position = page.survey.position(sighting)
            try:
                if position is None:
                    raise UntoldError
                hits.append(await self._hit(sighting, position))
                continue
            except (UnknownRootError, UntoldError):
                window = self._around_one(page, page.survey.icount(sighting.executed))
            if scans and window.start <= scans[-1].end:
                window = Window(min(scans[-1].start, window.start), max(scans.pop().end, window.end), None)
            scans.append(window)
        if len(scans) * self.stops_of_a_window > page.met:
            return whole
        if hits and not await self._confirmed(hits[len(hits) // 2]):
            return whole
        return _between(page, hits, scans)

    def _around_one(self, page: Page, icount: int) -> Window:
        """Where to look for what the plugin has seen, and does not know, at ``icount`` or just before."""
        plain = self._timeline.deliveries
        start = max(page.start, Position(plain.plain_at_or_before(max(icount - self.slack, 0))))
        return Window(start, min(page.end, Position(plain.plain_after(icount))), None)

    async def _confirmed(self, hit: Hit) -> bool:
        """Whether a machine sees ``hit`` as the plugin has told it; if not, that is believed no more."""
        found = await self._seen(hit)
        if found != hit:
            self._doubt(f"it has told of a hit of {hit.text} at {hit.position}, and there is another, or none")
        return found == hit

    @abstractmethod
    async def _hit(self, sighting: Sighting, position: Position) -> Hit:
        """What the plugin has told of.

        :raises UntoldError: it has not told all.
        :raises UnknownRootError: nor in which address space it was.
        """

    @abstractmethod
    async def _seen(self, hit: Hit) -> Hit | None:
        """What a machine sees at the place of ``hit``."""


def _between(page: Page, hits: Sequence[Hit], scans: Sequence[Window]) -> list[Window]:
    """The ``scans`` of ``page``, and between them the ``hits`` that are known; a scan finds those inside it."""
    windows: list[Window] = []
    left = list(reversed(hits))
    here = page.start
    for scan in (*scans, None):
        known = []
        while left and (scan is None or _is_before(left[-1], scan.start)):
            known.append(left.pop())
        if known:
            windows.append(Window(here, scan.start if scan else page.end, None, known=tuple(known)))
        if scan:
            windows.append(scan)
            here = scan.end
            while left and _is_before(left[-1], scan.end):
                left.pop()
    return windows


def _is_before(hit: Hit, place: Position) -> bool:
    """Whether it belongs to a stretch that ends at ``place``."""
    return hit.position < place if isinstance(hit.point, Breakpoint) else hit.position <= place
