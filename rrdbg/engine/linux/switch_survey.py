"""A Linux guest's switches without a stop at each: QEMU's plugin notes them, reading who runs in the guest's RAM.

So it does in every version of QEMU, also where plugins can read neither registers nor memory. Where exactly a switch
is the plugin knows if it has counted as QEMU does. It counts an instruction that faults twice, and is put right where
handlers of exceptions begin, since the log tells when the next one comes; from QEMU 11.1 on it is told of exceptions.
At fences it is looked at whether it is right: between two at which it was, with each exception where it had to come,
what it has noted counts. A stretch before a fence at which it was not is left to whoever makes stops, and behind that
another survey begins. Before 11.1 one thing is not seen: code that overwrites the very block it runs in is counted
twice as well, and the next handler sets that right, too; switches in between would be one instruction off. Linux itself
has no such code.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, replace

from rrdbg.engine.linux.memory import KernelMemory
from rrdbg.engine.linux.tasks import TaskReader
from rrdbg.engine.machines.progress import Stretch
from rrdbg.engine.machines.ram import ram_of
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.replay import Replay
from rrdbg.engine.search.survey import Survey
from rrdbg.errors import LinkError
from rrdbg.links.machine import Machine
from rrdbg.links.tally import (
    KEPT_TASKS,
    MOST_VIEWS,
    Handler,
    Place,
    SeenTask,
    Sighting,
    Tally,
    TaskLayout,
    TaskPlace,
    View,
)
from rrdbg.model.linux.kernel import Kernel
from rrdbg.model.linux.switches import Switch
from rrdbg.model.linux.task import Task, read_comm
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position

_SECONDS = 2.0
"""So much replay lies between two fences at most: what Ctrl-C may lose."""

_IDT = re.compile(r"^IDT=\s*([0-9a-f]+) ([0-9a-f]+)", re.MULTILINE)
_GATE = 16
_VECTORS = (*range(32), 0x80)
"""x86-64's exceptions, and that of 32-bit programs' system calls."""

_AARCH64_VECTORS = (0x000, 0x200, 0x400, 0x600)
_PAGE = 4096
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Found:
    """All ``switches`` from the end of what was found before up to ``reached``; if it is in doubt, none is known."""

    switches: Sequence[Switch]
    reached: Position
    in_doubt: bool = False


@dataclass(frozen=True, slots=True)
class _Seen:
    """Where the kernel has what is read: ``frame`` of its variable and of its first task, and its map of all RAM.

    Physical memory is mapped ``distance`` above its addresses. ``handlers`` begin at an exception.
    """

    handlers: Sequence[int]
    variable: int
    first_task: int
    distance: int


async def survey_switches(
    replay: Replay, reader: TaskReader, places: Sequence[TaskPlace], layout: TaskLayout, start: Position, end: Position
) -> AsyncGenerator[Found, None]:
    """The switches from ``start`` on and before ``end``, by parts; none where they cannot be had this way.

    A part that is in doubt is the last one.
    """
    seen = await replay.visit(start, lambda walker: _look(walker, reader, layout))
    if seen is None:
        return
    timeline = replay.timeline
    landing = timeline.landing_before(start)
    points: list[Place] = [*places, *(Handler(address) for address in seen.handlers)]
    async with replay.still():
        survey = await replay.accelerator.survey(timeline, landing, points, tasks=layout)
        if survey is None:
            return
        try:
            await survey.arrive(Position(landing))
            views = await _views(survey.walker.machine, reader.kernel, layout, seen)
            if views is None:
                return
            survey.listen(views)
            report = Stretch.alone(timeline.cost, start.icount, end.icount, replay.on_progress).at
            known, reached = survey.tally(0), start
            for fence in _fences(timeline, start, end):
                await survey.arrive(fence, report)
                tally = survey.tally(0)
                if not _is_right(survey, known, tally):
                    yield Found((), fence, in_doubt=True)
                    return
                noted = survey.tally(tally.hits - known.hits).latest
                settled = noted[:-1] if noted and noted[-1].open else noted
                # Which name its task is given is told behind the last one: it is looked at again, or left.
                until = fence if settled is noted else Position(survey.icount(noted[-1].executed))
                known = replace(tally, hits=tally.hits - len(noted) + len(settled))
                found = [switch for sighting in settled if (switch := _switch(survey, sighting))]
                yield Found([switch for switch in found if switch.position >= reached], until)
                reached = until
        except LinkError as error:
            replay.accelerator.give_up(error)
        finally:
            await survey.close()


def _fences(timeline: Timeline, start: Position, end: Position) -> Iterator[Position]:
    """Plain positions, and the end, with not much replay between them."""
    here = start.icount
    while (ahead := timeline.cost.ahead(here, _SECONDS, end.icount)) < end.icount:
        here = timeline.deliveries.plain_after(ahead)
        if here >= end.icount:
            break
        yield Position(here)
    yield end


def _is_right(survey: Survey, before: Tally, after: Tally) -> bool:
    """Whether what was noted between two fences is all, and right."""
    return (
        after.hits - before.hits <= KEPT_TASKS
        and after.unexpected == before.unexpected
        and survey.is_exact
        and survey.counts_right()
    )


def _switch(survey: Survey, sighting: Sighting) -> Switch | None:
    """The switch that was noted; None where a task was given a name that was not the running one."""
    assert isinstance(sighting.point, TaskPlace)
    if sighting.task is None:
        return None
    at = Position(survey.icount(sighting.executed))
    return Switch(at, _task(sighting.task), goes_on=sighting.point.renames)


def _task(seen: SeenTask) -> Task:
    return Task(seen.pid, seen.tgid, read_comm(seen.comm), seen.address)


async def _look(walker: Walker, reader: TaskReader, layout: TaskLayout) -> _Seen | None:
    """Where the kernel has what is to be read; None where it is not there yet."""
    memory = await KernelMemory.of(walker.machine)
    if memory is None:
        return None
    with memory:
        first = reader.kernel.addresses.get("init_task", 0)
        other = next((each.task.address for each in reader.listed(memory) if each.task.address != first), None)
        frames = [memory.frame(address) if address else None for address in (layout.variable, first, other)]
        variable, first_task, another = frames
        if variable is None or first_task is None or another is None or other is None:
            return None
        return _Seen(await _handlers(walker.machine, memory), variable, first_task, (other - another) & _MASK)


async def _handlers(machine: Machine, memory: KernelMemory) -> Sequence[int]:
    """Where the guest's handlers of exceptions begin."""
    names = machine.register_file.registers
    if "VBAR_EL1" in names:
        base = await machine.register("VBAR_EL1") or 0
        return [base + offset for offset in _AARCH64_VECTORS]
    if "stvec" in names:
        return [(await machine.register("stvec") or 0) & ~3]
    table = _IDT.search(await machine.qmp.monitor("info registers"))
    if table is None:
        return []
    raw = memory.read(int(table[1], 16), int(table[2], 16) + 1)
    gates = [raw[_GATE * vector : _GATE * (vector + 1)] for vector in _VECTORS]
    # Of an entry's address there are three parts in the gate.
    entries = [gate[0:2] + gate[6:8] + gate[8:12] for gate in gates if len(gate) == _GATE]
    return sorted({int.from_bytes(entry, "little") for entry in entries} - {0})


async def _views(machine: Machine, kernel: Kernel, layout: TaskLayout, seen: _Seen) -> Sequence[View] | None:
    """Where ``machine``, which stands still, has the kernel's memory in its own; None if part of it is in no RAM."""
    ranges = await ram_of(machine.qmp)

    def host(frame: int) -> int | None:
        found = (part.host + frame - part.start for part in ranges if 0 <= frame - part.start < part.length)
        return next(found, None)

    variable, first_task = host(seen.variable), host(seen.first_task)
    if variable is None or first_task is None:
        return None
    size = max(layout.pid, layout.tgid, layout.comm) + _PAGE
    return [
        View(layout.variable, 8, variable),
        View(kernel.addresses["init_task"], size, first_task),
        *(View((part.start + seen.distance) & _MASK, part.length, part.host) for part in ranges),
    ][:MOST_VIEWS]
