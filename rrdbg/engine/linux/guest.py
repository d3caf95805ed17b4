"""A session's view of a guest that runs Linux: its kernel, who runs at the cursor, which tasks there are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rrdbg.engine.linux.dump import vmcoreinfo
from rrdbg.engine.linux.kernel import kernel_of, no_kernel, types_of
from rrdbg.engine.linux.memory import KernelMemory
from rrdbg.engine.linux.modules import modules_in
from rrdbg.engine.linux.own_memory import OwnMemory
from rrdbg.engine.linux.programs import place_of, programs_of
from rrdbg.engine.linux.switches import SwitchFinder
from rrdbg.engine.linux.tasks import TaskReader, running_at
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.replay import Replay
from rrdbg.errors import LinkError, UsageError
from rrdbg.links.machine import Machine
from rrdbg.model.hits.task_runs import TaskRuns
from rrdbg.model.linux.btf import Btf
from rrdbg.model.linux.kernel import Kernel
from rrdbg.model.linux.mapped import MappedProgram, Module, ProgramFile
from rrdbg.model.linux.switches import Stretch
from rrdbg.model.linux.task import ListedTask, Running, Task
from rrdbg.model.timeline.position import Position
from rrdbg.store.linux_file import load_kernel


class LinuxGuest:
    """Linux in ``replay``, as far as it was found; :meth:`look` has it found."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._reader: TaskReader | None = None
        self._looked = False
        self._finder: SwitchFinder | None = None
        self._last: tuple[Position, Running | None] | None = None

    @property
    def known(self) -> Kernel | None:
        """The kernel, if it was found by now, in this session or an earlier one."""
        reader = self._known()
        return reader.kernel if reader else None

    async def look(self) -> Kernel | None:
        """The kernel, looked for if that has not been done in this recording."""
        if self._looked:
            return self._reader.kernel if self._reader else None
        kernel = await kernel_of(self._replay, anyway=True)
        self._reader = TaskReader(kernel) if kernel else None
        self._looked = True
        return kernel

    async def tasks(self) -> TaskReader:
        """What reads tasks.

        :raises UsageError: there is no Linux, or one that does not tell how its tasks look.
        """
        await self.look()
        if self._reader is None:
            raise no_kernel(self._replay)
        if not self._reader.knows_tasks:
            raise UsageError(
                f"The guest's kernel {self._reader.kernel.release} has no description of its types (BTF), so its tasks "
                "cannot be read."
            )
        return self._reader

    async def running(self, *, wanted: bool = True) -> Running | None:
        """Who runs at the cursor; None where that is not known. The kernel is not looked for.

        Unless it is ``wanted`` a machine must stand there already: a step back may do without one, and not with.
        """
        reader = self._known()
        if reader is None or not reader.knows_tasks:
            return None
        here = self._replay.position
        if self._last is None or self._last[0] != here:
            if not wanted and self._replay.machine_position != here:
                return None
            try:
                self._last = here, await running_at(await self._replay.machine(), reader)
            except LinkError:
                # The host forbids to read QEMU's memory: everything else goes on without.
                self._last = here, None
        return self._last[1]

    async def listed(self) -> Sequence[ListedTask]:
        """All tasks at the cursor; none before the kernel has begun.

        :raises UsageError: as :meth:`tasks`.
        :raises LinkError: QEMU's memory cannot be read here.
        """
        reader = await self.tasks()
        return await _listed(await self._replay.machine(), reader)

    async def switches(self) -> SwitchFinder:
        """What finds the guest's switches from one task to another.

        :raises UsageError: as :meth:`tasks`.
        """
        if self._finder is None:
            self._finder = SwitchFinder(self._replay, await self.tasks())
        return self._finder

    async def runs_of(self, name: str, start: Position, end: Position) -> TaskRuns:
        """While the task, or the process, that ``name`` says runs, between two positions.

        :raises UsageError: it never does, or as :meth:`tasks`.
        """
        known = await (await self.switches()).ensure(start, end)
        last = self._replay.timeline.end
        runs = tuple(
            # Who runs at the last position of all is the one that ran up to it.
            (switch.position, Position(last.icount + 1) if until == last else until)
            for switch, until in known.runs()
            if switch.task.is_called(name)
        )
        if not any(low < end and start < high for low, high in runs):
            raise UsageError(f"No task {name} runs between {start} and {end}; 'info switches' lists those that do.")
        return TaskRuns(name, runs)

    async def life_of(self, name: str, start: Position, end: Position) -> Stretch:
        """From where the task, or process, that ``name`` says runs first between two positions, to where it runs last.

        It may have another name by then, as execve gives one.

        :raises UsageError: as :meth:`runs_of`.
        """
        low, high = (await self.runs_of(name, start, end)).within(start, end)
        runs = list((await self.switches()).known.runs())
        pids = {switch.task.pid for switch, _ in runs if switch.task.is_called(name)}
        return low, max(high, *(min(until, end) for switch, until in runs if switch.task.pid in pids))

    async def _kernel(self) -> Kernel:
        kernel = await self.look()
        if kernel is None:
            raise no_kernel(self._replay)
        return kernel

    async def types(self) -> Btf:
        """What the kernel says of its types.

        :raises UsageError: there is no Linux, or one that says nothing of them.
        :raises LinkError: QEMU's memory cannot be read here.
        """
        kernel = await self._kernel()

        async def look(walker: Walker) -> Btf | None:
            memory = await KernelMemory.of(walker.machine)
            if memory is None:
                return None
            with memory:
                return await asyncio.to_thread(types_of, memory, kernel.addresses)

        types = await self._replay.visit(kernel.seen, look)
        if types is None:
            raise UsageError(f"The guest's kernel {kernel.release} has no description of its types (BTF).")
        return types

    async def vmcoreinfo(self) -> bytes:
        """What the kernel tells of itself to tools (VMCOREINFO), written in its boot, and the same from then on.

        :raises UsageError: there is no Linux, or one that does not tell it.
        :raises LinkError: QEMU's memory cannot be read here.
        """
        kernel = await self._kernel()
        if text := await vmcoreinfo(await self._replay.machine(), kernel):
            return text
        end = self._replay.timeline.end

        async def look(walker: Walker) -> bytes:
            await walker.arrive(end)
            return await vmcoreinfo(walker.machine, kernel)

        if text := await self._replay.visit(end, look):
            return text
        raise UsageError(
            f"The guest's kernel {kernel.release} has written no VMCOREINFO by {end}, without which drgn knows none."
        )

    async def own_memory(self) -> OwnMemory:
        """What reads the memory of the task that runs where a machine stands.

        :raises UsageError: as :meth:`tasks`.
        """
        return OwnMemory(await self.tasks())

    async def modules(self) -> Sequence[Module]:
        """The modules of the kernel that are loaded at the cursor.

        :raises UsageError: as :meth:`tasks`, or the kernel does not tell how modules look.
        :raises LinkError: QEMU's memory cannot be read here.
        """
        reader = await self.tasks()
        with await self._memory() as memory:
            return modules_in(memory, reader)

    async def programs(self, who: str) -> tuple[Task, Sequence[MappedProgram]]:
        """The task that ``who`` says, the running one if that is empty, and what it has mapped at the cursor.

        :raises UsageError: there is no such task, or it is the kernel's.
        """
        reader = await self.tasks()
        with await self._memory() as memory:
            task = await self._task(memory, who)
            return task, programs_of(memory, reader, task)[0]

    async def place_of(self, file: ProgramFile, who: str) -> tuple[Task, int]:
        """The same task, and how far it has moved the program or library ``file``.

        :raises UsageError: it has not mapped that, or one of another build.
        """
        reader = await self.tasks()
        with await self._memory() as memory:
            task = await self._task(memory, who)
            mapped, own = programs_of(memory, reader, task)
            return task, place_of(file, mapped, own, task)

    async def _memory(self) -> KernelMemory:
        memory = await KernelMemory.of(await self._replay.machine())
        if memory is None:
            raise UsageError(f"The kernel has not begun at {self._replay.position}.")
        return memory

    async def _task(self, memory: KernelMemory, who: str) -> Task:
        if not who:
            running = await self.running()
            if running is None:
                raise UsageError(f"Nobody runs at {self._replay.position}.")
            return running.task
        reader = await self.tasks()
        found = next((known.task for known in reader.listed(memory) if known.task.is_called(who)), None)
        if found is None:
            raise UsageError(f"There is no task {who} at {self._replay.position}; 'info tasks' lists them.")
        return found

    def task_at(self, position: Position) -> Task | None:
        """Who runs at ``position``, if that is known from the switches that were found by now."""
        reader = self._known()
        if self._finder is None and reader and reader.knows_tasks:
            self._finder = SwitchFinder(self._replay, reader)
        return self._finder.known.task_at(position) if self._finder else None

    def _known(self) -> TaskReader | None:
        """What reads tasks, if the kernel was found; a file is read once."""
        if self._reader is None and not self._looked:
            kept = load_kernel(self._replay.recording)
            if kept:
                self._looked = True
                self._reader = TaskReader(kept.kernel) if kept.kernel else None
        return self._reader


async def _listed(machine: Machine, reader: TaskReader) -> Sequence[ListedTask]:
    memory = await KernelMemory.of(machine)
    if memory is None:
        return ()
    with memory:
        return tuple(reader.listed(memory))
