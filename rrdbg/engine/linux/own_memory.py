"""The memory of the task that runs where a machine stands.

A task is the running one for some hundred instructions more when the kernel has put the page tables of the next one to
use, and a thread of the kernel's goes on with those of whoever ran before. So what lies in the processes' half is read
by the task's own page tables, wherever those in use lead.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rrdbg.engine.linux.memory import KernelMemory
from rrdbg.engine.linux.programs import own_memory
from rrdbg.engine.linux.tasks import TaskReader, control_registers
from rrdbg.errors import RspError
from rrdbg.links.machine import Machine, ReadMemory
from rrdbg.model.hits.bisection import Away

_KERNEL_HALF = 1 << 63


class OwnMemory:
    """Tells what reads that memory; ``tasks`` reads tasks."""

    def __init__(self, tasks: TaskReader) -> None:
        self._tasks = tasks

    @asynccontextmanager
    async def __call__(self, machine: Machine) -> AsyncIterator[ReadMemory]:
        """What reads it where ``machine`` stands, the kernel's included.

        It raises :class:`~rrdbg.model.hits.bisection.Away` where the task has none.

        :raises LinkError: QEMU's memory cannot be read here.
        """
        memory = await KernelMemory.of(machine)
        if memory is None:
            raise Away
        with memory:
            current = self._tasks.current(memory, await control_registers(machine))
            own = own_memory(memory, self._tasks, current) if current else None

            async def read(address: int, length: int) -> bytes:
                if address & _KERNEL_HALF:
                    return await machine.read_memory(address, length)
                if own is None:
                    raise Away
                found = own.read(address, length)
                if len(found) < length:
                    raise RspError(f"Nothing is mapped at {address + len(found):#x}.")
                return found

            yield read
