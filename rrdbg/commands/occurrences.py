"""Commands about what happens very often: how often, which time of all, and what makes such questions quick."""

from __future__ import annotations

from collections.abc import Iterable

from rrdbg.commands.arguments import nothing_more, read_address, read_stretch
from rrdbg.commands.registry import Category, Registry, Takes
from rrdbg.commands.scope import Scope, Wanted
from rrdbg.commands.session import Session
from rrdbg.engine.queries.evaluate import Judge
from rrdbg.engine.queries.occurrences import count, nth
from rrdbg.errors import OutOfRange, UsageError
from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.stop import Breakpoint, Hit
from rrdbg.model.program.tracing import Tracepoint
from rrdbg.model.results import Message, Result
from rrdbg.model.timeline.position import START, Position, parse_count
from rrdbg.render.text import times

OCCURRENCES = Registry()


@OCCURRENCES.command(
    "count", Category.QUERIES, "Tell how often LOCATION is executed, in all of time or a part of it.",
    arguments="LOCATION [if CONDITION] [from POSITION] [to POSITION] [--here|--task NAME|PID]",
    takes=(Takes.LOCATION, Takes.EXPRESSION),
    details="With a condition, only those times count at which it is not zero and can be told. Millions take one pass "
    "where the accelerator can be used ('info accelerator'), and without it about a millisecond each. It counts in "
    "every address space; with --here in the one at the cursor alone, and with --task for one task of a Linux guest "
    "alone, at about a millisecond for each whoever it is.",
    examples=(
        "count log_append", "count *0x100470 from 50% to 60%", "count fold if value > 100",
        "count kmem_cache_alloc if $cr3 == 0x4a2c000",
    ),
)  # fmt: skip
async def _count(session: Session, text: str) -> Result:
    text, wanted = Wanted.read(text)
    what, start, end = await read_stretch(session, text)
    points, judge = await _points(session, what)
    scope = await Scope.at(session, points[0].address, wanted, start, end)
    found = await count(session.replay, scope.bound(points), start, end, judge)
    how = ", counted by the accelerator" if found.accelerated else ""
    many = len(found.spaces)
    spaces = f", in {many} address spaces" if many > 1 and scope.by_process else ""
    return Message(f"{what} is executed {times(found.count)}{scope.within} between {start} and {end}{how}{spaces}.")


@OCCURRENCES.command(
    "nth", Category.QUERIES, "Go to where LOCATION is executed for the time that has this NUMBER, from 1 on.",
    arguments="NUMBER LOCATION [if CONDITION] [from POSITION] [to POSITION] [--here|--task NAME|PID]",
    takes=(Takes.NUMBER, Takes.LOCATION, Takes.EXPRESSION),
    details="With a condition, only those times count at which it is not zero and can be told. They are counted from "
    "the start of the recording, unless told otherwise. 'info accelerator' tells whether that is quick.",
    examples=("nth 1,000,000 kmem_cache_alloc", "nth 3 log_append from 50%", "nth 2 fold if value > 100"),
)  # fmt: skip
async def _nth(session: Session, text: str) -> Result:
    text, wanted = Wanted.read(text)
    first, _, rest = text.partition(" ")
    if not rest.strip():
        raise UsageError("'nth' takes a number and a location: nth 1,000 log_append.")
    number = parse_count(first)
    if number < 1:
        raise UsageError("The first time has the number 1.")
    what, start, end = await read_stretch(session, rest)
    points, judge = await _points(session, what)
    scope = await Scope.at(session, points[0].address, wanted, start, end)
    found = await nth(session.replay, scope.bound(points), number, start, end, judge)
    if found.hit is None:
        raise OutOfRange(f"{what} is executed only {times(found.count)} between {start} and {end}.")
    return await _gone_to(session, found.hit)


@OCCURRENCES.command(
    "previous-hit", Category.RUNNING, "Go back to where LOCATION was executed last, whatever breakpoints are set.",
    arguments="LOCATION [if CONDITION] [--here|--task NAME|PID]", repeats=True,
    takes=(Takes.LOCATION, Takes.EXPRESSION),
    details="As 'reverse-continue' with a breakpoint there that is gone afterwards, and without all others: they do "
    "not count meanwhile. A condition is as for 'nth'.",
    examples=("previous-hit log_append", "previous-hit fold if value > 100"),
)  # fmt: skip
async def _previous_hit(session: Session, text: str) -> Result:
    here = session.replay.position
    what, points, judge = await _bound(session, "previous-hit", text, START, here)
    found = await session.replay.last_before(here, points, judge)
    if found is None:
        await session.replay.seek(here)
        raise OutOfRange(f"{what} is not executed before {here}.")
    return await session.stopped(await session.replay.seek(found[0]))


@OCCURRENCES.command(
    "next-hit", Category.RUNNING, "Go on to where LOCATION is executed next, whatever breakpoints are set.",
    arguments="LOCATION [if CONDITION] [--here|--task NAME|PID]", repeats=True,
    takes=(Takes.LOCATION, Takes.EXPRESSION),
    details="As 'continue' with a breakpoint there that is gone afterwards, and without all others: they do not count "
    "meanwhile. A condition is as for 'nth'.",
    examples=("next-hit log_append", "next-hit fold if value > 100"),
)  # fmt: skip
async def _next_hit(session: Session, text: str) -> Result:
    here, end = session.replay.position, session.replay.timeline.end
    what, points, judge = await _bound(session, "next-hit", text, here, end)
    if here == end:
        raise OutOfRange(f"{what} is not executed after {here}, where the recording ends.")
    found = await nth(session.replay, points, 1, here, end, judge)
    if found.hit and found.hit.position <= here:
        # It counts where the cursor is, and that is not the next one.
        found = await nth(session.replay, points, 2, here, end, judge)
    if found.hit is None:
        raise OutOfRange(f"{what} is not executed after {here}.")
    return await _gone_to(session, found.hit)


async def _gone_to(session: Session, hit: Hit) -> Result:
    """Go to the instruction of ``hit``, whose position may be too early by a phase."""
    stop = await session.replay.seek(hit.position)
    if not hit.exact and stop.pc != hit.point.address:
        stop = await session.replay.stepi()  # the delivery that leads there
    return await session.stopped(stop)


async def _bound(
    session: Session, name: str, text: str, start: Position, end: Position
) -> tuple[str, list[Breakpoint], Judge | None]:
    """What the command ``name`` goes to: its words, and the breakpoints and the condition that they mean."""
    what, wanted = Wanted.read(text)
    if not what:
        raise UsageError(f"'{name}' takes a location: {name} log_append.")
    points, judge = await _points(session, what)
    scope = await Scope.at(session, points[0].address, wanted, start, end)
    return what, scope.bound(points), judge


async def _points(session: Session, what: str) -> tuple[list[Breakpoint], Judge | None]:
    """Breakpoints at a location, and who judges them if a condition is given."""
    location, _, condition = (part.strip() for part in what.partition(" if "))
    if condition.startswith("@") and location.startswith("*"):
        # Compiled by the user's own GDB.
        address = await read_address(session, location)
        code = Tracepoint.read(f"{address:#x},{condition[1:]}").expressions
        return _numbered([address]), Judge({address: Condition(code, unclear=False)})
    if condition:
        found = await session.symbols_for(f"if {condition}").compile(location, (condition,))
        judge = Judge({point.address: Condition(point.expressions, unclear=False) for point in found})
        return _numbered(point.address for point in found), judge
    if what.startswith("*"):
        return _numbered([await read_address(session, what)]), None
    return _numbered(point.address for point in await session.symbols_for(what).compile(what, ())), None


def _numbered(addresses: Iterable[int]) -> list[Breakpoint]:
    return [Breakpoint(-1 - number, address) for number, address in enumerate(addresses)]


@OCCURRENCES.command(
    "info accelerator", Category.SESSION, "Tell whether QEMU finds very many hits without a stop at each, or why not.",
    details="It is a plugin that a C compiler builds when it is first needed. RRDBG_ACCELERATOR=off in the environment "
    "turns it off.",
    examples=("info accelerator",),
)  # fmt: skip
async def _info_accelerator(session: Session, text: str) -> Result:
    nothing_more(text, "info accelerator")
    info = await session.replay.accelerator.info()
    used = (
        f" It has made {info.passes:,} pass{'' if info.passes == 1 else 'es'} in this session." if info.usable else ""
    )
    return Message(info.text + used)
