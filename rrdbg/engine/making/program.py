"""What is found out about a QEMU before it records: which one it is, and how it can be confined on this host.

Each takes a process of its own, some 40 ms of a processor: who records a thousand times asks once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from rrdbg.links.confinement import Measure, measures_for
from rrdbg.links.process import find_qemu, qemu_version


@dataclass(frozen=True, slots=True)
class Program:
    """A QEMU: its ``path``, its ``version``, and the ``measures`` that hold for it here."""

    path: str
    version: str
    measures: frozenset[Measure]

    @classmethod
    async def of(cls, binary: str) -> Program:
        """The QEMU that is called ``binary``.

        :raises QemuLaunchError: there is none, or it is no QEMU.
        """
        path = find_qemu(binary)
        version, measures = await asyncio.gather(qemu_version(path), measures_for(Path(path)))
        return cls(path, version, measures)
