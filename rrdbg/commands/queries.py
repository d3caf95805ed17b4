"""Commands that ask about other times than the cursor's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from rrdbg.commands.arguments import read_address, read_ends
from rrdbg.commands.listing import Listing
from rrdbg.commands.registry import Category, Registry, Takes
from rrdbg.commands.scope import Scope, Wanted, task_runs
from rrdbg.commands.session import Session
from rrdbg.commands.subject import CONDITION_DETAILS, PHYSICAL_DETAILS, TASK_DETAILS, Scopes, Subject, read_condition
from rrdbg.engine.queries.trace import trace
from rrdbg.engine.queries.writes import last_write, writes
from rrdbg.errors import OutOfRange, UsageError
from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.stop import Hit, Watchpoint, within
from rrdbg.model.program.tracing import Print, Tracepoint
from rrdbg.model.program.variable import Variable
from rrdbg.model.results import Changed, Message, Result
from rrdbg.model.size import counted
from rrdbg.model.timeline.position import START, Position
from rrdbg.render.text import times, value_text

QUERIES = Registry()


@QUERIES.command(
    "last", Category.QUERIES, "Go back to the last write that changed EXPR, and show the old and the new value.",
    arguments="EXPR [if CONDITION] [--everywhere|--physical|--task NAME|PID]", repeats=True, takes=(Takes.EXPRESSION,),
    details="EXPR is what GDB can take the address of, or without symbols *ADDRESS:LENGTH. The cursor is left on the "
    "instruction that is about to write. Where the value is another one than the last write has left, as by a disk's "
    "DMA, it is told between which positions it changed, and which block or packet event comes next. Breakpoints and "
    "watchpoints do not count meanwhile. Where each process has memory of its own at EXPR, the one at the cursor is "
    "meant; --everywhere finds writes in any. " + f"{CONDITION_DETAILS} {PHYSICAL_DETAILS} {TASK_DETAILS}",
    examples=(
        "last tasks[3].magic", "last *0x104128:8", "last tasks[3].magic --physical", "last jiffies_64 --task 0",
        "last rounds if rounds == 7",
    ),
)  # fmt: skip
async def _last(session: Session, text: str) -> AsyncGenerator[Result, None]:
    what, scopes = Scopes.read(text)
    where, condition = await read_condition(session, what)
    subject = await Subject.read(session, where, scopes)
    here = session.replay.position
    point = await meant(session, subject.point(), scopes, START, here)
    found = await _last_of(session, point, condition, here)
    left_out = await elsewhere(session, point)
    if found is None:
        await session.replay.seek(here)
        raise OutOfRange(f"Nothing has changed {what} before {here}{within(point)}. {left_out}".rstrip())
    async for result in _told(session, subject, *found, left_out, everywhere=scopes.everywhere):
        yield result


async def _last_of(
    session: Session, point: Watchpoint, condition: Condition | None, here: Position
) -> tuple[Position, Hit] | None:
    """Where the last write before ``here`` is about to be made, and its hit."""
    if condition is None:
        return await session.replay.last_before(here, [point])
    hit = await last_write(session.replay, point, condition, here)
    return (await session.replay.before(hit.position), hit) if hit else None


@QUERIES.command(
    "first", Category.QUERIES, "Go to the first write of all that changed EXPR, and show the old and the new value.",
    arguments="EXPR [if CONDITION] [--everywhere|--physical|--task NAME|PID]", takes=(Takes.EXPRESSION,),
    details="EXPR, the condition, --everywhere, --physical and --task are as for 'last'.",
    examples=("first rounds", "first rounds if rounds > 100"),
)  # fmt: skip
async def _first(session: Session, text: str) -> AsyncGenerator[Result, None]:
    what, scopes = Scopes.read(text)
    where, condition = await read_condition(session, what)
    subject = await Subject.read(session, where, scopes)
    replay, end = session.replay, session.replay.timeline.end
    point = await meant(session, subject.point(), scopes, START, end)
    found = writes(replay, point, condition, START, end) if condition else replay.scan([point], START, end)
    async with aclosing(found) as hits:
        hit = await anext(hits, None)
    left_out = await elsewhere(session, point)
    if hit is None:
        raise OutOfRange(f"Nothing ever changes {what} in this recording{within(point)}. {left_out}".rstrip())
    target = hit.unwritten.before if hit.unwritten else await session.replay.before(hit.position)
    async for result in _told(session, subject, target, hit, left_out, everywhere=scopes.everywhere):
        yield result


async def _told(
    session: Session, subject: Subject, target: Position, hit: Hit, left_out: str, *, everywhere: bool
) -> AsyncGenerator[Result, None]:
    """Go to the write that makes ``hit``, and tell of it, in which address space it is, and what was ``left_out``."""
    mark = await foreign(session, hit) if everywhere else ""
    if behind := subject.behind:
        yield Message(behind)
    yield await _changed(session, subject.text, subject.variable, target, hit)
    for line in (mark, left_out):
        if line:
            yield Message(line)


async def meant(session: Session, point: Watchpoint, scopes: Scopes, start: Position, end: Position) -> Watchpoint:
    """``point`` as ``scopes`` mean it for a search from ``start`` to ``end``.

    In the address space at the cursor if its address depends on that, unless all are to be looked at, or one task.

    :raises UsageError: there is no such task.
    """
    if task := await task_runs(session, scopes.task, start, end):
        return replace(point, task=task)
    if scopes.everywhere:
        return point
    (bound,) = await session.replay.bound_here([point])
    return bound


async def elsewhere(session: Session, point: Watchpoint, what: str = "write") -> str:
    """The closing line on what the last search, for ``point``, has left out; empty if that is nothing.

    Who has asked about one task knows that others are left out.
    """
    count = 0 if point.task else await session.replay.elsewhere()
    if not count:
        return ""
    verb = "is" if count == 1 else "are"
    return f"{counted(count, what)} in other address spaces {verb} left out; --everywhere shows them."


async def foreign(session: Session, hit: Hit) -> str:
    """A line that says so if ``hit`` is in another address space than the cursor."""
    space = await session.replay.space_of(hit.point.address)
    return f"In another address space, {hit.space:#x}." if space and hit.space not in (None, space.root) else ""


async def _changed(session: Session, text: str, variable: Variable, target: Position, hit: Hit) -> Result:
    """Go to ``target``, where the instruction is about to be executed that makes ``hit``."""
    replay = session.replay
    place = variable.address, variable.length
    if hit.unwritten:
        # Where exactly a device writes is not the same in each replay, so the values are those that were seen.
        return Changed(
            text, *place, *_bytes(hit), await session.stopped(await replay.seek(target)), hit.unwritten.cause
        )
    if session.symbols is None or not variable.expression:
        return Changed(text, *place, *_bytes(hit), await session.stopped(await replay.seek(target)))
    await replay.seek(hit.position)
    after = await session.symbols.value(variable.expression)
    stopped = await session.stopped(await replay.seek(target))
    return Changed(text, *place, await session.symbols.value(variable.expression), after, stopped)


def _bytes(hit: Hit) -> tuple[str, str]:
    if hit.change is None:
        return "<unknown>", "<unknown>"
    return value_text(hit.change.before), value_text(hit.change.after)


@QUERIES.command(
    "tprintf", Category.QUERIES, "Print values each time LOCATION is reached, in all of time, without stopping.",
    arguments='LOCATION [if CONDITION],"FORMAT"[,EXPR...] [from POSITION] [to POSITION] [--here|--task NAME|PID]',
    takes=(Takes.LOCATION, Takes.EXPRESSION),
    details="The format is C's, for integers, characters and strings: %d %i %u %x %X %o %c %s %p. Each line has the "
    "position of the hit; the cursor stays where it is. Ctrl-C keeps what was printed, and tells how to go on. From "
    "the start to the end of the recording, unless told otherwise. Processes of one program reach the same LOCATION: "
    "each line then says in which address space, and --here keeps to the one at the cursor; --task keeps to one task "
    "of a Linux guest.",
    examples=(
        'tprintf log_append,"%s used %lu",text,task->log_used', 'tprintf fold,"%d",value from 50% to end',
        'tprintf log_append if task->log_used > 20,"%s",text',
    ),
)  # fmt: skip
async def _tprintf(session: Session, text: str) -> AsyncGenerator[Result, None]:
    text, words = Wanted.read(text)
    wanted = Print.read(text)
    points = await _tracepoints(session, wanted)
    start, end = await read_ends(session, wanted.start, wanted.end)
    session.found.clear()
    scope = await Scope.at(session, points[0].address if points else 0, words, start, end)
    lines = trace(
        session.replay, points, wanted.format, start, end,
        conditional=bool(wanted.condition), space=scope.only, task=scope.task,
    )  # fmt: skip
    listing = Listing(session, start)
    with listing.keeping():
        async with aclosing(lines):
            async for position, line, root in lines:
                where, fields = scope.said(root)
                yield session.note(position, line + where, {"text": line, **fields})
                listing.told(position, again=True)
    condition = " under the condition" if wanted.condition else ""
    found = times(len(session.found))
    yield Message(f"{wanted.location} was reached{condition} {found} between {start} and {end}.")


async def _tracepoints(session: Session, wanted: Print) -> Sequence[Tracepoint]:
    if wanted.location.startswith("*") and all(code.startswith("@") for code in wanted.expressions):
        address = await read_address(session, wanted.location)
        return [Tracepoint.read(",".join([f"{address:#x}", *(code[1:] for code in wanted.expressions)]))]
    if session.symbols is None:
        raise UsageError("Without a GDB 'tprintf' takes *ADDRESS, and no expressions.")
    return await session.symbols.compile(wanted.location, wanted.expressions)
