"""Tries on a Dask cluster: recorded and judged by its workers, which send back those that have failed.

A worker needs rrdbg, the guest's QEMU and the guest's files, by the same paths. What it records lies in a folder of its
own for temporary files; what a worker leaves there that was killed is removed by the next try on that host.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrdbg.engine.hunt.attempt import Guest, Judge, LocalTries, Tried
from rrdbg.engine.search.parallel.cluster import Calls, Cluster
from rrdbg.errors import WorkerFailed
from rrdbg.links.unbroken import unbroken
from rrdbg.model.hunt.perturbation import Perturbation
from rrdbg.store.archive import pack, unpack
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from rrdbg.store.workfolder import WorkFolder


@dataclass(frozen=True, slots=True)
class Sent:
    """What a worker sends back: how the try went, and if it has failed its recording, packed."""

    tried: Tried
    packed: bytes = b""


class ClusterTries:
    """Tries on ``cluster``, one in each of its threads, judged by ``judge`` there."""

    def __init__(self, cluster: Cluster, judge: Judge) -> None:
        self._cluster = cluster
        self._calls: Calls = cluster.calls()
        self._judge = judge
        self._sharing = asyncio.Lock()
        self._shared: tuple[Guest, Any] | None = None

    @property
    def jobs(self) -> int:
        """How many at a time."""
        return self._cluster.jobs

    async def make(self, guest: Guest, perturbation: Perturbation, directory: Path) -> Tried:
        """One of them: :class:`~rrdbg.engine.hunt.attempt.Tries`."""
        try:
            sent = await self._sent(guest, perturbation)
        except WorkerFailed:
            if guest.beginning is None:
                raise
            # What all runs share may have been lost with the worker that had one of them.
            self._shared = None
            sent = await self._sent(guest, perturbation)
        if sent.tried.failed:
            await asyncio.to_thread(_unpack, sent.packed, directory)
        return sent.tried

    async def _sent(self, guest: Guest, perturbation: Perturbation) -> Sent:
        there = await self._there(guest) if guest.beginning else guest
        sent = await self._calls.result(self._calls.submit(try_there, perturbation, self._judge, shared=there))
        assert isinstance(sent, Sent)
        return sent

    async def _there(self, guest: Guest) -> Any:
        """``guest``, which goes on from the middle of a recording, as the workers have it: that is all of its RAM."""
        async with self._sharing:
            if self._shared is None or self._shared[0] is not guest:
                self._shared = guest, await self._calls.share(guest)
            return self._shared[1]

    async def close(self) -> None:
        """End the tries that are under way, and leave the cluster, which goes on."""
        try:
            await unbroken(self._calls.give_up())
        finally:
            await self._cluster.close()


async def try_there(perturbation: Perturbation, judge: Judge, guest: Guest) -> Sent:
    """Make a try in this process, of a worker.

    :raises RrdbgError: as :meth:`~rrdbg.engine.hunt.attempt.Tries.make` does.
    """
    known = await guest.known()
    with WorkFolder(Path(tempfile.gettempdir())) as folder:
        directory = folder / "run"
        tried = await LocalTries(judge, 1).make(known, perturbation, directory)
        return Sent(tried, await asyncio.to_thread(_packed, directory) if tried.failed else b"")


def _packed(directory: Path) -> bytes:
    out = directory.with_name("packed")
    with Recording.open(directory, trusted=True) as recording:
        for _ in pack(recording, out, load_timeline(recording), everything=False):
            pass
    return out.read_bytes()


def _unpack(packed: bytes, directory: Path) -> None:
    archive = directory.with_name(f"{directory.name}-packed")
    try:
        archive.write_bytes(packed)
        for _ in unpack(archive, directory):
            pass
    finally:
        archive.unlink(missing_ok=True)
