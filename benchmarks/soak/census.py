"""What this process and its children hold: memory, processes, descriptors, files."""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rrdbg.engine.replay import Replay

_GROWTH = 0.25
"""By which share memory may grow after the first census, beside :data:`_SLACK`: allocators do not give all back."""

_SLACK = 64 << 20
_FEW = 4
"""How many more of anything else there may be."""


@dataclass(frozen=True, slots=True)
class Census:
    """One count, while nothing moves; sizes in bytes, ``budget`` is what ``snapshots`` may take
    together, the ``largest`` is the size of one."""

    memory: int
    qemus: int
    qemu_memory: int
    processes: int
    descriptors: int
    sockets: int
    tasks: int
    files: int
    snapshots: int
    largest: int
    budget: int

    @classmethod
    def take(cls, replay: Replay, budget: int) -> Census:
        """Count now."""
        gc.collect()
        family = _family()
        qemus = [pid for pid, name in family.items() if name.startswith("qemu-system")]
        links = _descriptors()
        scratch = replay.recording.layout.scratch
        sizes = [snapshot.size for snapshot in replay.timeline.snapshots]
        return cls(
            memory=_resident(os.getpid()),
            qemus=len(qemus),
            qemu_memory=max((_resident(pid) for pid in qemus), default=0),
            processes=len(family),
            descriptors=len(links),
            sockets=sum(link.startswith("socket:") for link in links),
            tasks=len(asyncio.all_tasks()),
            files=len(list(Path(tempfile.gettempdir()).rglob("*"))) + len(list(scratch.iterdir())),
            snapshots=sum(sizes),
            largest=max(sizes),
            budget=budget,
        )

    def leaks(self, first: Census) -> list[str]:
        """What there is too much of, against the ``first`` census."""
        found = []
        for name in ("memory", "qemu_memory"):
            now, before = getattr(self, name), getattr(first, name)
            if before and now > before * (1 + _GROWTH) + _SLACK:
                found.append(f"{name} grew from {before >> 20} to {now >> 20} MiB")
        for name in ("qemus", "processes", "descriptors", "sockets", "tasks", "files"):
            now, before = getattr(self, name), getattr(first, name)
            if now > before + _FEW:
                found.append(f"{name} grew from {before} to {now}")
        # One that a machine stands on stays.
        if self.snapshots > self.budget + self.largest:
            found.append(f"the snapshots take {self.snapshots >> 20} MiB of {self.budget >> 20}")
        return found

    def row(self) -> str:
        """The figures, in the order of :data:`HEADER`."""
        return (
            f"{self.memory >> 20:7} {self.qemus:6} {self.qemu_memory >> 20:9} {self.processes:10} "
            f"{self.descriptors:4} {self.sockets:8} {self.tasks:6} {self.files:6} "
            f"{self.snapshots >> 20:9}/{self.budget >> 20}"
        )


HEADER = "RSS MiB  QEMUs  QEMU MiB  processes  fds  sockets  tasks  files  snapshots MiB"


def qemu_pids() -> Sequence[int]:
    """The QEMUs that we have started."""
    return [pid for pid, name in _family().items() if name.startswith("qemu-system")]


def _family() -> dict[int, str]:
    """Names of our descendants, by pid."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                head, _, rest = (entry / "stat").read_text().rpartition(")")
            except OSError:
                continue
            names[int(entry.name)] = head.partition("(")[2]
            parents[int(entry.name)] = int(rest.split()[1])
    family = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return {pid: names[pid] for pid in family if pid != os.getpid()}


def _descriptors() -> list[str]:
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except OSError:
            continue  # the one that lists the folder
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
