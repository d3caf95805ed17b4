"""Commands that ask about other times than the cursor's."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from rrdbg.commands.arguments import read_address, read_position, read_range
from rrdbg.commands.registry import Category, Registry, Takes
from rrdbg.commands.session import Session
from rrdbg.engine.trace import trace
from rrdbg.errors import OutOfRange, UsageError
from rrdbg.model.results import Changed, Message, Result
from rrdbg.model.stop import Hit, Watchpoint
from rrdbg.model.tracing import Print, Tracepoint
from rrdbg.model.variable import Variable
from rrdbg.render.text import value_text

QUERIES = Registry()

_BYTES = re.compile(r"\*.+:\d+")


@QUERIES.command(
    "last", Category.QUERIES, "Go back to the last write that changed EXPR, and show the old and the new value.",
    arguments="EXPR", repeats=True, takes=(Takes.EXPRESSION,),
    details="EXPR is what GDB can take the address of, or without symbols *ADDRESS:LENGTH. The cursor is left on the "
    "instruction that is about to write. Breakpoints and watchpoints do not count meanwhile.",
    examples=("last tasks[3].magic", "last *0x104128:8"),
)  # fmt: skip
async def _last(session: Session, text: str) -> Result:
    if not text:
        raise UsageError("'last' needs an expression, or *ADDRESS:LENGTH.")
    variable = await _variable(session, text)
    here = session.replay.position
    after = await session.symbols.value(variable.expression) if session.symbols and variable.expression else ""
    found = await session.replay.last_before(here, [Watchpoint(-1, variable.address, variable.length)])
    if found is None:
        raise OutOfRange(f"Nothing has changed {text} before {here}.")
    target, hit = found
    stopped = await session.stopped(await session.replay.seek(target))
    if session.symbols and variable.expression:
        return Changed(text, await session.symbols.value(variable.expression), after, stopped)
    return Changed(text, *_bytes(hit), stopped)


async def _variable(session: Session, text: str) -> Variable:
    if _BYTES.fullmatch(text):
        address, length = await read_range(session, text)
        return Variable(address, length, "")
    if session.symbols is None:
        raise UsageError(f"Without a GDB there are no symbols to find '{text}' by; write *ADDRESS:LENGTH.")
    return await session.symbols.variable(text)


def _bytes(hit: Hit) -> tuple[str, str]:
    if hit.change is None:
        return "<not mapped>", "<not mapped>"
    return value_text(hit.change.before), value_text(hit.change.after)


@QUERIES.command(
    "tprintf", Category.QUERIES, "Print values each time LOCATION is reached, in all of time, without stopping.",
    arguments='LOCATION,"FORMAT"[,EXPR...] [from POSITION] [to POSITION]', takes=(Takes.LOCATION, Takes.EXPRESSION),
    details="The format is C's, for integers, characters and strings: %d %i %u %x %X %o %c %s %p. Each line has the "
    "position of the hit; the cursor stays where it is. From the start to the end of the recording, unless told "
    "otherwise.",
    examples=('tprintf log_append,"%s used %lu",text,task->log_used', 'tprintf fold,"%d",value from 50% to end'),
)  # fmt: skip
async def _tprintf(session: Session, text: str) -> AsyncGenerator[Result, None]:
    wanted = Print.read(text)
    points = await _tracepoints(session, wanted)
    start = await read_position(session, wanted.start or "start")
    end = await read_position(session, wanted.end or "end")
    if not start < end:
        raise UsageError(f"The range from {start} to {end} is empty.")
    count = 0
    async with aclosing(trace(session.replay, points, wanted.format, start, end)) as lines:
        async for line in lines:
            count += 1
            yield line
    yield Message(f"{wanted.location} was reached {count:,} times between {start} and {end}.")


async def _tracepoints(session: Session, wanted: Print) -> Sequence[Tracepoint]:
    if wanted.location.startswith("*") and all(argument.startswith("@") for argument in wanted.arguments):
        address = await read_address(session, wanted.location)
        return [Tracepoint.read(",".join([f"{address:#x}", *(code[1:] for code in wanted.arguments)]))]
    if session.symbols is None:
        raise UsageError("Without a GDB 'tprintf' takes *ADDRESS, and no expressions.")
    return await session.symbols.compile(wanted.location, wanted.arguments)
