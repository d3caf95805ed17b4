"""What was once learned by a scan is not scanned for again: the hit index of a recording, asked and fed by searches.

Asked before a scan, it tells which pieces of the timeline are known (:meth:`Hits.pieces`); only the others are scanned,
and what they had is noted. Where each hit is to be judged by a condition, which it knows nothing of, it still tells
where there is none, and the scan leaves that out where it takes longer than a jump.

QEMU reports one access an instruction, so what a scan finds for ``rwatch`` and ``awatch`` depends on whether there
is another such point. With several of them nothing is looked up or noted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from rrdbg.errors import HostError
from rrdbg.model.hits.index import MOST_HITS, HitIndex, Piece, skimmed
from rrdbg.model.hits.stop import Hit, Point, WatchKind, Watchpoint
from rrdbg.model.timeline.cost import CostMap
from rrdbg.model.timeline.position import Position
from rrdbg.store.hits_file import load_hits, renewed_hits, save_hits
from rrdbg.store.recording import Recording
from rrdbg.store.sharing import InUseError

JUMP_SECONDS = 0.5
"""What takes longer to replay is jumped over, if there is nothing in it."""

SAVED_SECONDS = 10.0
"""How often the index is written down while it grows; a session that is killed loses what it found since."""

SHARED_SECONDS = 0.5
"""How long what was found is kept back where others work in the recording, too."""

SHORT = 10_000
"""Instructions; where a run forward had no longer way to go, there is nothing worth to be noted."""

MOST_OF_A_SCAN = MOST_HITS // 4
"""Hits of one scan that are noted at most: the first ones."""


_log = logging.getLogger(__name__)


class Hits:
    """The hit index of ``recording``, read when it is first needed; ``cost`` tells what replaying takes."""

    def __init__(self, recording: Recording, cost: Callable[[], CostMap]) -> None:
        self._recording = recording
        self._cost = cost
        self._index: HitIndex | None = None
        self._unsaved = False
        self._saved = time.monotonic()
        self._to_save: asyncio.TimerHandle | None = None

    @property
    def index(self) -> HitIndex:
        """What is known, also by what other sessions have found meanwhile."""
        if self._index is None:
            self._index = load_hits(self._recording)
        else:
            self._index = renewed_hits(self._recording, self._index)
        return self._index

    def pieces(self, points: Sequence[Point], start: Position, end: Position, *, judged: bool) -> list[Piece]:
        """The stretch from ``start`` to ``end``, in order: what is known, and what is to be scanned.

        ``judged`` tells that hits count only under a condition; those that are known are then scanned for all the same.
        """
        if not (start < end and _independent(points)):
            return [Piece(start, end)]
        self._index = self.index.used(points)
        pieces = self._index.pieces(points, start, end)
        return skimmed(pieces, self._worth_a_jump) if judged else pieces

    def note(self, points: Sequence[Point], start: Position, end: Position, hits: Sequence[Hit]) -> None:
        """A scan with ``points`` from ``start`` to ``end`` has found ``hits`` and no others."""
        if not _independent(points):
            return
        if len(hits) > MOST_OF_A_SCAN:
            self._know(self.index.with_scan_until(points, start, hits[:MOST_OF_A_SCAN]))
            return
        if start < end:
            self._know(self.index.with_scan(points, start, end, hits))

    def note_until(self, points: Sequence[Point], start: Position, hits: Sequence[Hit]) -> None:
        """A scan with ``points`` from ``start`` on has found ``hits``, and was left at the last of them."""
        if hits and _independent(points):
            self._know(self.index.with_scan_until(points, start, hits[:MOST_OF_A_SCAN]))

    def note_run(
        self, points: Sequence[Point], start: Position, first: Hit | None, end: Position, passed: Sequence[Hit] = ()
    ) -> None:
        """A run from behind ``start`` has come to the ``first`` hit, or else to ``end``, by way of those ``passed``."""
        if (first.position if first else end).icount - start.icount < SHORT:
            return
        behind = Position(start.icount + 1)
        if first:
            self.note_until(points, behind, [*passed, first])
        else:
            self.note(points, behind, end, passed)

    def note_judged(self, hit: Hit, judged: Hit | None) -> None:
        """``hit`` was not judged; this is what it is, None if it is none."""
        if not hit.judged and _independent([hit.point]):
            self._know(self.index.with_judged(hit, judged))

    def note_exact(self, hit: Hit, position: Position) -> None:
        """Of ``hit`` only the icount was known; this is its position."""
        if hit.position != position:
            self._know(self.index.with_exact(hit, position))

    async def noting(
        self, points: Sequence[Point], start: Position, end: Position, hits: AsyncGenerator[Hit, None]
    ) -> AsyncGenerator[Hit, None]:
        """Pass on the ``hits`` of a scan with ``points`` from ``start`` to ``end``, and note them, however it ends."""
        seen: list[Hit] = []
        whole = False
        try:
            async with aclosing(hits):
                async for hit in hits:
                    if len(seen) <= MOST_OF_A_SCAN:
                        seen.append(hit)
                    yield hit
            whole = True
        finally:
            if whole:
                self.note(points, start, end, seen)
            else:
                self.note_until(points, start, seen)

    def forget(self, address: int) -> None:
        """Know nothing any more of points at ``address``: what they hit is found anew."""
        self._index = HitIndex({key: known for key, known in self.index.points.items() if key.address != address})

    def close(self) -> None:
        """Keep with the recording what is new.

        :raises OSError: the disk is full.
        """
        if self._to_save:
            self._to_save.cancel()
            self._to_save = None
        if self._unsaved:
            self._unsaved = False
            self._index = save_hits(self._recording, self.index)
            self._saved = time.monotonic()

    def _know(self, index: HitIndex) -> None:
        self._index, self._unsaved = index, True
        if time.monotonic() - self._saved > SAVED_SECONDS:
            self.close()
        elif self._to_save is None and self._has_company:
            self._to_save = asyncio.get_running_loop().call_later(SHARED_SECONDS, self._save_now)

    @property
    def _has_company(self) -> bool:
        """Whether somebody else may be waiting for what is found here."""
        if not self._recording.writable:
            return False
        with self._recording.others_absent() as alone:
            return not alone

    def _save_now(self) -> None:
        try:
            self.close()
        except (OSError, HostError, InUseError) as error:
            _log.warning("What was found cannot be kept: %s", error)

    def _worth_a_jump(self, start: int, end: int) -> bool:
        return self._cost().seconds(start, end) > JUMP_SECONDS


def _independent(points: Sequence[Point]) -> bool:
    """True if a scan with all of ``points`` finds for each what a scan with it alone finds, and tells them apart.

    Physical memory is looked for by other addresses on each stretch, so nothing of that is kept.
    """
    if any(isinstance(point, Watchpoint) and point.physical for point in points):
        return False
    watched = [(point.address, point.length, point.kind) for point in points if isinstance(point, Watchpoint)]
    accesses = sum(kind is not WatchKind.WRITE for _, _, kind in watched)
    return accesses <= 1 and len(set(watched)) == len(watched)
