"""What is measured: each movement, from where, and whether its answer is the one that the forward run shows."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.guests import Guest
from benchmarks.outcome import Clock, check, same
from benchmarks.places import FALSE_HITS, HITS, STEPS, Place, Places
from benchmarks.recorder import Recorder
from benchmarks.rival import CannotDo, Rival
from rrdbg.links.mi import Gdb
from rrdbg.model.hits.stop import Breakpoint, Watchpoint
from rrdbg.model.timeline.deliveries import Deliveries

JUMPS = 100
_LINES = 10


@dataclass(frozen=True, slots=True)
class Course:
    """The guest that is measured on, what is known about it, and the lines that GDB's recorder went back through."""

    guest: Guest
    places: Places
    deliveries: Deliveries
    lines: dict[str, Sequence[int]]

    def breakpoint(self, name: str) -> Breakpoint:
        """A breakpoint on a function of the guest."""
        return Breakpoint(1, self.guest.address(name))


Run = Callable[[Rival, Course, Clock], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Measure:
    """One row of the table: ``run`` times ``count`` movements. ``each`` tells to show one movement, and not all."""

    name: str
    title: str
    count: int
    run: Run
    each: bool = False


async def _first_step(rival: Rival, course: Course, clock: Clock) -> None:
    for place in course.places.before_steps:
        await rival.seek(place.icount + 1)
        with clock.running():
            await rival.step_back()
        check(await rival.where(), place)
        if clock.spent:
            return


async def _steps(rival: Rival, course: Course, clock: Clock) -> None:
    steps = course.places.steps
    await rival.seek(steps[-1].icount)
    for place in reversed(steps[:-1]):
        with clock.running():
            await rival.step_back()
        check(await rival.where(), place)
        if clock.spent:
            return


def _lines(command: str) -> Run:
    async def run(rival: Rival, course: Course, clock: Clock) -> None:
        if not course.guest.lines:
            raise CannotDo("no lines")
        await rival.seek(course.places.quiet)
        stops = []
        async with rival.gdb() as gdb:
            for _ in range(_LINES):
                with clock.running():
                    await gdb.console(command)
                stops.append(await _pc(gdb))
                if clock.spent:
                    break
        if isinstance(rival, Recorder):
            course.lines[command] = stops
        same(stops, course.lines.get(command, ()))

    return run


async def _pc(gdb: Gdb) -> int:
    return int(await gdb.value("(unsigned long)$pc"))


async def _adjacent_hit(rival: Rival, course: Course, clock: Clock) -> None:
    place = course.places.steps[-2]
    assert place.pc is not None
    await rival.seek(place.icount + 1)
    with clock.running():
        await rival.run_back(Breakpoint(1, place.pc))
    check(await rival.where(), place)


def _hit(choose: Callable[[Course], tuple[Breakpoint, Place]]) -> Run:
    async def run(rival: Rival, course: Course, clock: Clock) -> None:
        point, wanted = choose(course)
        await rival.seek(course.places.end)
        with clock.running():
            await rival.run_back(point)
        check(await rival.where(), wanted)

    return run


async def _hundred_hits(rival: Rival, course: Course, clock: Clock) -> None:
    await rival.seek(course.places.end)
    point = course.breakpoint(course.guest.often)
    for place in reversed(course.places.hits):
        with clock.running():
            await rival.run_back(point)
        check(await rival.where(), place)
        if clock.spent:
            return


async def _condition(rival: Rival, course: Course, clock: Clock) -> None:
    rarely = course.places.rarely
    assert rarely is not None, "it was looked for"
    await rival.seek(course.deliveries.plain_at_or_before(rarely.origin))
    with clock.running():
        address = course.guest.address(course.guest.busy)
        clock.share = await rival.run_back_where(address, rarely.condition, clock.budget)
    if clock.share == 1.0:
        check(await rival.where(), rarely.hit)


async def _jumps(rival: Rival, course: Course, clock: Clock) -> None:
    chosen = random.Random(1)
    for _ in range(JUMPS):
        place = Place(course.deliveries.plain_at_or_before(chosen.randrange(course.places.end)))
        with clock.running():
            await rival.seek(place.icount)
        check(await rival.where(), place)
        if clock.spent:
            return


async def _last_write(rival: Rival, course: Course, clock: Clock) -> None:
    guest, wanted = course.guest, course.places.write
    await rival.seek(course.places.end)
    with clock.running():
        await rival.run_back(Watchpoint(1, guest.address(guest.variable), guest.variable_length))
    # On the instruction that is about to write, as here, or behind it, as QEMU's own.
    check(await rival.where(), wanted, wanted.icount - 1)


async def _bisect(rival: Rival, course: Course, clock: Clock) -> None:
    wanted = course.places.turn_at
    await rival.seek(course.places.end)
    with clock.running():
        clock.share = await rival.bisect(course.places.turn, course.places.end, clock.budget)
    if clock.share == 1.0:
        check(await rival.where(), wanted, wanted.icount - 1)


async def _open_at_end(rival: Rival, course: Course, clock: Clock) -> None:
    if isinstance(rival, Recorder):
        raise CannotDo("not in the stretch")
    await rival.close()
    with clock.running():
        await rival.open()
        await rival.seek(course.places.end)
    check(await rival.where(), Place(course.places.end))


MEASURES = (
    Measure("first-step", "one reverse-stepi, anywhere", 6, _first_step, each=True),
    Measure("steps", f"{STEPS} reverse-stepi, each", STEPS, _steps, each=True),
    Measure("reverse-step", f"{_LINES} reverse-step over source lines", _LINES, _lines("reverse-step")),
    Measure("reverse-next", f"{_LINES} reverse-next over source lines", _LINES, _lines("reverse-next")),
    Measure("adjacent-hit", "reverse-continue to the instruction before", 1, _adjacent_hit),
    Measure(
        "near-hit", "reverse-continue to a near hit", 1,
        _hit(lambda course: (course.breakpoint(course.guest.near), course.places.near)),
    ),
    Measure(
        "far-hit", "reverse-continue to a far hit", 1,
        _hit(lambda course: (course.breakpoint(course.guest.far), course.places.far)),
    ),
    Measure(
        "no-hit", "reverse-continue without a hit", 1,
        _hit(lambda course: (course.breakpoint(course.guest.never), Place(0))),
    ),
    Measure("hits", f"{HITS} hits walked backwards, each", HITS, _hundred_hits, each=True),
    Measure("condition", f"a condition false {FALSE_HITS:,} times", 1, _condition),
    Measure("jumps", f"{JUMPS} random jumps, each", JUMPS, _jumps, each=True),
    Measure("last-write", "last write to a variable", 1, _last_write),
    Measure("bisect", "bisect to an instruction", 1, _bisect),
    Measure("open-at-end", "open, and go to the end", 1, _open_at_end),
)  # fmt: skip
