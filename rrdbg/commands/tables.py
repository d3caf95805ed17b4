"""Commands that list every time something happened, in all of time or a part of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from rrdbg.commands.arguments import read_address, read_stretch
from rrdbg.commands.listing import Listing
from rrdbg.commands.queries import elsewhere, meant
from rrdbg.commands.registry import Category, Registry, Takes
from rrdbg.commands.scope import Scope, Wanted
from rrdbg.commands.session import Session
from rrdbg.commands.subject import CONDITION_DETAILS, PHYSICAL_DETAILS, TASK_DETAILS, Scopes, Subject, read_condition
from rrdbg.engine.queries.calls import Call, calls
from rrdbg.engine.queries.writes import writes
from rrdbg.model.hits.stop import Hit, WatchKind
from rrdbg.model.program.function import NO_VALUE, UNKNOWN, Function
from rrdbg.model.program.guest_string import GuestString
from rrdbg.model.program.tracing import Conversion, Format, TracedValue
from rrdbg.model.results import Message, Result
from rrdbg.model.shown import on_one_line
from rrdbg.render.text import times, value_text

TABLES = Registry()

_DETAILS = (
    "EXPR is what GDB can take the address of, or *ADDRESS:LENGTH. From the start to the end of the recording, unless "
    "told otherwise. 'seek @NUMBER' goes to one of the places. Where each process has memory of its own at EXPR, the "
    "one at the cursor is meant; --everywhere lists all, and marks those of others. Ctrl-C keeps what was listed, and "
    f"tells how to go on. {TASK_DETAILS}"
)

_UNWRITTEN = (
    "A change that no instruction has made, as by a disk's DMA, is listed with what is known of it: between which "
    "positions it was seen, and which block or packet event comes next."
)


@TABLES.command(
    "writes", Category.QUERIES, "List every write that changed EXPR.",
    arguments="EXPR [if CONDITION] [from POSITION] [to POSITION] [--everywhere|--physical|--task NAME|PID]",
    takes=(Takes.EXPRESSION,),
    details=f"{_DETAILS} {_UNWRITTEN} {CONDITION_DETAILS} {PHYSICAL_DETAILS}",
    examples=(
        "writes rounds if rounds > 100",
        "writes tasks[3].magic", "writes *0x104128:8 from 50%", "> writes.csv writes rounds",
        "writes tasks[3].magic --physical",
    ),
)  # fmt: skip
async def _writes(session: Session, text: str) -> AsyncGenerator[Result, None]:
    async with aclosing(_accesses(session, text, WatchKind.WRITE)) as results:
        async for result in results:
            yield result


@TABLES.command(
    "reads", Category.QUERIES, "List every read of EXPR.",
    arguments="EXPR [from POSITION] [to POSITION] [--everywhere|--task NAME|PID]", takes=(Takes.EXPRESSION,),
    details=_DETAILS,
    examples=("reads tasks[3].magic to 50%",),
)  # fmt: skip
async def _reads(session: Session, text: str) -> AsyncGenerator[Result, None]:
    async with aclosing(_accesses(session, text, WatchKind.READ)) as results:
        async for result in results:
            yield result


async def _accesses(session: Session, text: str, kind: WatchKind) -> AsyncGenerator[Result, None]:
    text, scopes = Scopes.read(text)
    what, start, end = await read_stretch(session, text)
    where, condition = await read_condition(session, what) if kind is WatchKind.WRITE else (what, None)
    subject = await Subject.read(session, where, scopes)
    session.found.clear()
    point = await meant(session, subject.point(kind), replace(scopes, everywhere=False), start, end)
    if behind := subject.behind:
        yield Message(behind)
    if condition:
        hits = writes(session.replay, point, condition, start, end, foreign=scopes.everywhere)
    else:
        hits = session.replay.scan([point], start, end, foreign=scopes.everywhere)
    listing = Listing(session, start)
    with listing.keeping():
        async with aclosing(hits):
            async for hit in hits:
                yield await _write(session, hit) if kind is WatchKind.WRITE else await _read(session, hit)
                listing.told(hit.position)
    verb = "changed" if kind is WatchKind.WRITE else "read"
    yield Message(f"{what} was {verb} {times(len(session.found))} between {start} and {end}.")
    if left_out := await elsewhere(session, point, "write" if kind is WatchKind.WRITE else "read"):
        yield Message(left_out)


async def _write(session: Session, hit: Hit) -> Result:
    """A write, at the instruction that is about to make it; ``next`` is the one that comes after that."""
    old, new = (
        (value_text(hit.change.before), value_text(hit.change.after)) if hit.change else ("<unknown>", "<unknown>")
    )
    if hit.unwritten:
        fields = {"old": old, "new": new, "next": "", "cause": hit.unwritten.cause}
        return session.note(hit.unwritten.before, f"{old} -> {new}  {hit.unwritten.cause}", fields)
    place = await _place(session, hit.pc)
    position = await session.replay.before(hit.position)
    where, space = _marked(hit)
    fields = {"old": old, "new": new, "next": place, **space}
    return session.note(position, f"{old} -> {new}  next {place}{where}", fields)


def _marked(hit: Hit) -> tuple[str, dict[str, str]]:
    """What is said of a hit in another address space, in words and as a field."""
    if not hit.foreign:
        return "", {}
    space = "?" if hit.space is None else f"{hit.space:#x}"
    return f"  in another address space, {space}", {"space": space}


async def _read(session: Session, hit: Hit) -> Result:
    value = value_text(hit.change.after) if hit.change else ""
    place = await _place(session, hit.pc)
    position = await session.replay.before(hit.position)
    where, space = _marked(hit)
    return session.note(position, f"{value}  next {place}{where}", {"value": value, "next": place, **space})


@TABLES.command(
    "calls", Category.QUERIES, "List every call of FUNCTION: its caller, arguments and result.",
    arguments="FUNCTION [from POSITION] [to POSITION] [--here|--task NAME|PID]", takes=(Takes.FUNCTION,),
    details="The arguments are shown if GDB knows the parameters, and the result as its type says: none of a void "
    "function, a name for a function's address; where no type is known, the register of results. A function without "
    "symbols is written *ADDRESS. From the start to the end of the recording, unless told otherwise, piece by piece; "
    "what has not returned at the end of a piece comes later. As JSON or CSV a call has its length in instructions. "
    "Ctrl-C keeps what was listed, and tells how to go on. 'seek @NUMBER' goes to one of the calls. Processes of one "
    "program make the same calls: each line then says in which address space, and --here keeps to the one at the "
    "cursor; --task keeps to one task of a Linux guest.",
    examples=("calls log_append", "calls do_sys_openat2 from 90%", "calls *0x100020", "calls vfs_read --task cat"),
)  # fmt: skip
async def _calls(session: Session, text: str) -> AsyncGenerator[Result, None]:
    text, wanted = Wanted.read(text)
    what, start, end = await read_stretch(session, text)
    function = await _function(session, what)
    scope = await Scope.at(session, function.entry, wanted, start, end)
    what = f"*{function.entry:#x}" if what.startswith("*") else what
    forms = [Format.read(parameter.conversion).conversions[0] for parameter in function.parameters]
    session.found.clear()
    names = [parameter.name for parameter in function.parameters]
    listing = Listing(session, start)
    found = calls(
        session.replay, function.entry, function.points, forms, start, end, scope.only, scope.task,
        on_searched=listing.searched,
    )  # fmt: skip
    with listing.keeping():
        async with aclosing(found):
            async for call in found:
                values = [_argument(form, value) for form, value in zip(forms, call.arguments, strict=False)]
                returned = await _returned(session, function.result, call)
                yield await _call(
                    session, what, call, dict(zip(names, values, strict=False)), returned, scope.said(call.space)
                )
    yield Message(f"{what} was called {times(len(session.found))} between {start} and {end}.")


def _argument(form: Conversion, value: TracedValue) -> str:
    """As GDB shows it in a frame, a string with its address and between quotes."""
    return on_one_line(str(value) if isinstance(value, GuestString) else form.show(value))


async def _returned(session: Session, form: str, call: Call) -> str:
    """What a call has given, as it is shown; empty if that is nothing, or it has not returned."""
    if call.returned is None or form == NO_VALUE:
        return ""
    if form not in (UNKNOWN, "%p"):
        return Format.read(form).show([call.returned])
    name = await session.symbols.code(call.returned) if session.symbols else ""
    return f"{call.returned:#x} <{name}>" if name else f"{call.returned:#x}"


async def _call(
    session: Session,
    function: str,
    call: Call,
    arguments: dict[str, str],
    returned: str,
    said: tuple[str, dict[str, str]],
) -> Result:
    caller = await _place(session, call.return_address)
    shown = ", ".join(f"{name}={value}" for name, value in arguments.items())
    result = " does not return" if call.returned is None else f" = {returned}" if returned else ""
    where, space = said
    lasted = "" if call.end is None else str(call.end.icount - call.position.icount)
    fields = {"caller": caller, **arguments, "returned": returned, "instructions": lasted, **space}
    return session.note(call.position, f"{function}({shown}){result}  to {caller}{where}", fields)


async def _function(session: Session, what: str) -> Function:
    if what.startswith("*"):
        return Function.read(what) or Function(await read_address(session, what))
    symbols = session.symbols_for(what)
    entry = await symbols.number(f"&({what})")
    parameters, result = await symbols.signature(what)
    points = await symbols.compile(what, [parameter.name for parameter in parameters])
    return Function(entry, tuple(parameters), tuple(points), result)


async def _place(session: Session, address: int) -> str:
    return await session.symbols.place(address) if session.symbols else f"{address:#x}"
