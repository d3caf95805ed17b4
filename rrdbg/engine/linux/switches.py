"""Finding where a Linux guest switches from one task to another.

The kernel does so in ``__switch_to``, somewhere in which it notes the new task as the running one. Behind that
instruction a breakpoint tells each switch, and memory there whom it was made to: at that position, and not before it,
:mod:`rrdbg.engine.linux.tasks` finds the new task running. Which instruction that is was found out by stepping through
the first switch of the recording.

A task that gives itself another name, as by execve, calls ``__set_task_comm``: a second breakpoint, so that a program
that begins and ends in one go is known by its own name.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace

from rrdbg.engine.linux.kernel import keep_kernel
from rrdbg.engine.linux.memory import KernelMemory
from rrdbg.engine.linux.switch_survey import Found, survey_switches
from rrdbg.engine.linux.tasks import TaskReader, running_at
from rrdbg.engine.machines.progress import OneBar
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.replay import Replay
from rrdbg.engine.search.sieve import FEW
from rrdbg.errors import HostError, OutOfRange, RspError, UsageError
from rrdbg.links.machine import Machine
from rrdbg.links.tally import TaskLayout, TaskPlace
from rrdbg.model.hits.stop import Breakpoint, NotedHit
from rrdbg.model.linux.kernel import Kernel
from rrdbg.model.linux.switches import MOST_SWITCHES, Switch, Switches
from rrdbg.model.linux.task import COMM_BYTES, Running, Task, read_comm
from rrdbg.model.timeline.position import START, Position
from rrdbg.store.linux_file import load_kernel
from rrdbg.store.shared_file import SharedFile
from rrdbg.store.switches_file import load_switches, save_switches

_FUNCTION = "__switch_to"
_RENAMES = "__set_task_comm"
_ARGUMENTS = (("rdi", "rsi"), ("x0", "x1"), ("a0", "a1"))
"""The registers of a function's first two arguments, on x86-64, AArch64 and RISC-V."""

_LINKS = ("x30", "ra")
"""The registers with the address where a function goes back to; on x86-64 it lies on the stack."""

_SWITCHED, _CURRENT = "rrdbg.switched", "rrdbg.current"
"""How the kernel's file calls the instruction behind which the new task runs, and the variable that says so."""

_SWITCH, _RENAME = -1, -2
_MOST_IN_VAIN = 3
"""After so many surveys that tell nothing the rest is left to stops."""

_MOST_STEPS = 2_000
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class TaskAt:
    """Tells who runs where a machine stands in the kernel; ``variable`` is 0 where the register ``tp`` points there.

    ``pid``, ``tgid`` and ``comm`` are the offsets of these members.
    """

    variable: int
    pid: int
    tgid: int
    comm: int

    @classmethod
    def of(cls, kernel: Kernel, variable: int) -> TaskAt:
        """For ``kernel``, which says how its tasks look."""
        return cls(variable, *(kernel.offsets[f"task_struct.{name}"] for name in ("pid", "tgid", "comm")))

    @property
    def layout(self) -> TaskLayout:
        """The same, for the plugin."""
        return TaskLayout(self.variable, self.pid, self.tgid, self.comm)

    async def __call__(self, machine: Machine, point: Breakpoint | None = None) -> Task:
        """The task.

        :raises RspError: it is not mapped.
        """
        address = await current_task(machine, self.variable)
        low = min(self.pid, self.tgid, self.comm)
        raw = await machine.read_memory(address + low, max(self.pid + 4, self.tgid + 4, self.comm + COMM_BYTES) - low)

        def number(offset: int) -> int:
            return int.from_bytes(raw[offset - low : offset - low + 4], "little")

        comm = read_comm(raw[self.comm - low : self.comm - low + COMM_BYTES])
        return Task(number(self.pid), number(self.tgid), comm, address)


@dataclass(frozen=True, slots=True)
class _Note:
    """Notes who runs behind a switch, or that the running task gives itself another name."""

    task_at: TaskAt

    async def __call__(self, machine: Machine, point: Breakpoint) -> object:
        task = await self.task_at(machine)
        if point.number == _SWITCH:
            return Switch(START, task)
        registers = await machine.registers()
        whose, name = next((registers[first], registers[second]) for first, second in _ARGUMENTS if first in registers)
        if whose != task.address:
            return False
        left = _PAGE - name % _PAGE
        comm = read_comm(await machine.read_memory(name, min(left, COMM_BYTES)))
        return Switch(START, replace(task, comm=comm[: COMM_BYTES - 1]), goes_on=True)


async def current_variable(machine: Machine, reader: TaskReader) -> int:
    """The address of the variable that points to the running task; 0 where a register does.

    :raises UsageError: there is none that is known.
    """
    if "tp" in machine.register_file.registers:
        return 0
    memory = await KernelMemory.of(machine)
    assert memory is not None, "a kernel that runs tasks has page tables"
    with memory:
        variable = reader.variable(memory)
    if not variable:
        raise UsageError("The guest's kernel has no variable for its running task that is known here.")
    return variable


async def current_task(machine: Machine, variable: int) -> int:
    """The running task's address in the kernel, from its ``variable``, or on RISC-V (0) from a register.

    :raises RspError: the variable is not mapped.
    """
    if not variable:
        return (await machine.registers())["tp"]
    return int.from_bytes(await machine.read_memory(variable, 8), "little")


class SwitchFinder:
    """The switches of ``replay``'s guest, whose tasks ``reader`` reads; what is found is kept with the recording."""

    def __init__(self, replay: Replay, reader: TaskReader) -> None:
        self._replay = replay
        self._reader = reader
        self._file = SharedFile(replay.recording.kept_at(replay.recording.layout.switches))
        self._file.note()
        self.known: Switches = load_switches(replay.recording)
        """What was found by now."""

    async def ensure(self, start: Position, end: Position) -> Switches:
        """What is known once all from ``start`` to ``end`` is; a pass that is broken off keeps what it has found.

        :raises UsageError: there is no switch in this recording, or no telling where.
        """
        self._take_up()
        with self._one_bar((start, end)) as bar:
            for low, high in self.known.missing(start, end):
                async with aclosing(self._pass(low, high, bar)) as switches:
                    async for _ in switches:
                        pass
        return self.known

    async def following(self, here: Position, name: str = "") -> Switch:
        """The next switch after ``here``, to a task that is called ``name`` if that is not empty.

        :raises OutOfRange: there is none.
        """
        self._take_up()
        end = self._replay.timeline.end
        with self._one_bar((here, end)) as bar:
            found = await self._following(here, end, name, bar)
        if found is None:
            raise OutOfRange(f"There is no switch to {name or 'another task'} after {here}.")
        return found

    async def following_or_first(self, here: Position, name: str) -> Switch:
        """The next switch after ``here`` to a task that is called ``name``, or, where there is none, the first of all.

        :raises OutOfRange: there is none at all.
        """
        self._take_up()
        end = self._replay.timeline.end
        with self._one_bar((here, end), (START, here)) as bar:
            found = await self._following(here, end, name, bar) or await self._following(START, here, name, bar)
        if found is None:
            raise OutOfRange(f"There is no switch to {name} in this recording.")
        return found

    async def _following(self, here: Position, end: Position, name: str, bar: OneBar) -> Switch | None:
        """The next switch after ``here`` up to ``end``, to a task that is called ``name`` if that is not empty."""
        start = here

        def is_wanted(switch: Switch) -> bool:
            return here < switch.position <= end and _is_to(switch, name)

        while True:
            gaps = self.known.missing(start, end)
            reached = gaps[0][0] if gaps else end
            if found := next(filter(is_wanted, self.known.between(start, reached)), None):
                return found
            if not gaps:
                return None
            async with aclosing(self._pass(*gaps[0], bar)) as switches:
                async for switch in switches:
                    if is_wanted(switch):
                        return switch
            start = reached

    async def named_at(self, switch: Switch) -> Position:
        """Where the task of ``switch`` is called as that says: of a new name, where the function has noted it.

        That function begins where the switch is.
        """
        renames = self._reader.kernel.addresses.get(_RENAMES)

        async def look(walker: Walker) -> int | None:
            await walker.arrive(switch.position)
            machine = walker.machine
            if await machine.pc() != renames:
                return None
            registers = await machine.registers()
            if link := next((name for name in _LINKS if name in registers), None):
                return registers[link]
            return int.from_bytes(await machine.read_memory(registers["rsp"], 8), "little")

        back = await self._replay.visit(switch.position, look) if switch.goes_on else None
        if back is None:
            return switch.position
        end = self._replay.timeline.end
        async with aclosing(self._replay.scan([Breakpoint(-1, back)], switch.position, end)) as hits:
            hit = await anext(hits, None)
        return hit.position if hit else switch.position

    @contextmanager
    def _one_bar(self, *stretches: tuple[Position, Position]) -> Iterator[OneBar]:
        """One bar for all that is missing in the ``stretches``, of which each part would have its own."""
        replay = self._replay
        cost = replay.timeline.cost
        gaps = [gap for low, high in stretches for gap in self.known.missing(low, high)]
        bar = OneBar(replay.on_progress, sum(cost.seconds(low.icount, high.icount) for low, high in gaps))
        before, replay.on_progress = replay.on_progress, bar
        try:
            yield bar
        finally:
            replay.on_progress = before

    async def preceding(self, here: Position, name: str = "") -> Switch:
        """The last switch before ``here``, as :meth:`following`.

        :raises OutOfRange: there is none.
        """
        known = await self.ensure(START, here)
        for switch in reversed(known.between(START, here)):
            if _is_to(switch, name):
                return switch
        raise OutOfRange(f"There is no switch to {name or 'another task'} before {here}.")

    async def _pass(self, start: Position, end: Position, bar: OneBar) -> AsyncGenerator[Switch, None]:
        """The switches from ``start`` to ``end``, which were missing, as they are found; kept at the end, however."""
        bar.counts = False
        points, note = await self._places()
        found = await self._goes_on(start)
        bar.counts = True
        reached = start
        try:
            async with aclosing(self._parts(points, note, start, end, bar)) as parts:
                async for part in parts:
                    found += part.switches
                    reached = part.reached
                    if len(self.known.switches) + len(found) > MOST_SWITCHES:
                        raise UsageError(
                            f"There are more than {MOST_SWITCHES:,} switches; ask about a shorter stretch."
                        )
                    for switch in part.switches:
                        yield switch
        finally:
            if reached > start:
                self.known = self.known.added(start, reached, found)
                self._keep()

    async def _parts(
        self, points: Sequence[Breakpoint], note: _Note, start: Position, end: Position, bar: OneBar
    ) -> AsyncGenerator[Found, None]:
        """The switches by parts: with stops, and when these are many by the plugin, but where that is in doubt."""
        reached, stops = start, 0
        before, cost = bar.done, self._replay.timeline.cost

        def begin_part() -> None:
            bar.done = before + cost.seconds(start.icount, reached.icount)

        async with aclosing(self._stopping(points, note, start, end)) as parts:
            async for part in parts:
                yield part
                reached, stops = part.reached, stops + len(part.switches)
                if stops >= FEW and note.task_at.variable and not self._replay.accelerator.is_off:
                    break
        places = [TaskPlace(point.address, renames=point.number == _RENAME) for point in points]
        in_vain = 0
        while reached < end:
            begun, until = reached, end
            begin_part()
            async with aclosing(
                survey_switches(self._replay, self._reader, places, note.task_at.layout, reached, end)
            ) as parts:
                async for part in parts:
                    if part.in_doubt:
                        until = part.reached
                    else:
                        yield part
                        reached = part.reached
            in_vain = in_vain + 1 if reached == begun else 0
            if in_vain == _MOST_IN_VAIN:
                until = end
            if reached < until:
                begin_part()
                async with aclosing(self._stopping(points, note, reached, until)) as parts:
                    async for part in parts:
                        yield part
                reached = until
        begin_part()

    async def _stopping(
        self, points: Sequence[Breakpoint], note: _Note, start: Position, end: Position
    ) -> AsyncGenerator[Found, None]:
        """The switches, with a stop at each."""
        async with aclosing(self._replay.scan(points, start, end, note)) as hits:
            async for hit in hits:
                assert isinstance(hit, NotedHit)
                assert isinstance(hit.note, Switch)
                # An instruction begins once, so there is no other one at this icount.
                yield Found([replace(hit.note, position=hit.position)], Position(hit.position.icount + 1))
        yield Found([], end)

    def _take_up(self) -> None:
        """Take up what other sessions have found since this one last read or wrote; quick if they have not."""
        recording = self._replay.recording
        if (path := recording.kept_at(recording.layout.switches)) != self._file.path:
            self._file = SharedFile(path)
        if self._file.changed:
            self._file.note()
            self.known = self.known.joined(load_switches(recording))

    def _keep(self) -> None:
        recording = self._replay.recording
        try:
            with recording.turn():
                self.known = save_switches(recording, self.known)
                self._file = SharedFile(recording.kept_at(recording.layout.switches))
                self._file.note()
        except OSError as error:
            raise HostError.of(error, f"Cannot keep the switches in {recording.layout.root}") from None

    async def _goes_on(self, start: Position) -> list[Switch]:
        """Who runs at ``start``, where a pass begins, if that is not known and anybody does."""
        if start == START or any(high == start for _, high in self.known.covered):
            return []

        async def look(walker: Walker) -> Running | None:
            await walker.arrive(start)
            return await running_at(walker.machine, self._reader)

        running = await self._replay.visit(start, look)
        return [Switch(start, running.task, goes_on=True)] if running else []

    async def _places(self) -> tuple[list[Breakpoint], _Note]:
        """Where the breakpoints are to be, and what tells of a switch there.

        :raises UsageError: no switch was found to learn it from.
        """
        kernel = self._reader.kernel
        if _SWITCHED not in kernel.addresses and (kept := load_kernel(self._replay.recording)) and kept.kernel:
            kernel = kept.kernel  # another session may have learned it meanwhile
            self._reader = TaskReader(kernel)
        if _SWITCHED not in kernel.addresses:
            switched, variable = await self._learn()
            addresses = {**kernel.addresses, _SWITCHED: switched, _CURRENT: variable}
            kernel = replace(kernel, addresses=addresses)
            self._reader = TaskReader(kernel)
            keep_kernel(self._replay.recording, kernel)
        points = [Breakpoint(_SWITCH, kernel.addresses[_SWITCHED])]
        if _RENAMES in kernel.addresses:
            points.append(Breakpoint(_RENAME, kernel.addresses[_RENAMES]))
        return points, _Note(TaskAt.of(kernel, kernel.addresses[_CURRENT]))

    async def _learn(self) -> tuple[int, int]:
        """The address of the instruction behind which the new task is the running one, and of what says so."""
        function = self._reader.kernel.addresses.get(_FUNCTION)
        if function is None:
            raise UsageError(f"The guest's kernel has no symbol {_FUNCTION}, so its switches cannot be found.")
        end = self._replay.timeline.end
        async with aclosing(self._replay.scan([Breakpoint(-1, function)], START, end)) as hits:
            first = await anext(hits, None)
        if first is None:
            raise UsageError("The guest has not switched from one task to another in this recording.")
        target = first.position

        async def look(walker: Walker) -> tuple[int, int]:
            await walker.arrive(target)
            return await self._step_through(walker)

        return await self._replay.visit(target, look)

    async def _step_through(self, walker: Walker) -> tuple[int, int]:
        machine = walker.machine
        variable = await current_variable(machine, self._reader)
        before = await current_task(machine, variable)
        for _ in range(_MOST_STEPS):
            await walker.step()
            try:
                if await current_task(machine, variable) != before:
                    return await machine.pc(), variable
            except RspError:
                break
        raise UsageError(f"{_FUNCTION} has not made another task the running one; switches cannot be found.")


def _is_to(switch: Switch, name: str) -> bool:
    """Whether it is one to a task that is called ``name``, or, if that is empty, to another task at all."""
    return switch.task.is_called(name) if name else not switch.goes_on
