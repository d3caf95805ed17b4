"""Commands about breakpoints and watchpoints."""

from __future__ import annotations

from rrdbg.commands.arguments import nothing_more, read_address, read_range
from rrdbg.commands.registry import Category, Registry, Takes
from rrdbg.commands.session import Session
from rrdbg.errors import UsageError
from rrdbg.model.hits.stop import WatchKind
from rrdbg.model.results import Message, Points, PointSet, Result

POINTS = Registry()


@POINTS.command(
    "break", Category.POINTS, "Set a breakpoint at an address.",
    arguments="*ADDRESS", aliases=("b", "br"),
    takes=(Takes.LOCATION,), in_gdb=True,
    examples=("break *0x1005c0", "break *$pc"),
)  # fmt: skip
async def _break(session: Session, text: str) -> Result:
    if not text:
        raise UsageError("'break' needs an address; write break *0x1000.")
    return PointSet(session.replay.points.add_breakpoint(await read_address(session, text)))


async def _watch_kind(session: Session, text: str, kind: WatchKind) -> Result:
    if not text:
        raise UsageError(f"'{kind}' needs an address and a length; write {kind} *0x1000:8.")
    address, length = await read_range(session, text)
    return PointSet(session.replay.points.add_watchpoint(address, length, kind))


@POINTS.command(
    "watch", Category.POINTS, "Stop when a write changes LENGTH bytes at ADDRESS.",
    arguments="*ADDRESS:LENGTH", takes=(Takes.EXPRESSION,), in_gdb=True,
    examples=("watch *0x104038:8", "watch *$rsp:4"),
)  # fmt: skip
async def _watch(session: Session, text: str) -> Result:
    return await _watch_kind(session, text, WatchKind.WRITE)


@POINTS.command(
    "rwatch", Category.POINTS, "Stop when LENGTH bytes at ADDRESS are read.",
    arguments="*ADDRESS:LENGTH", takes=(Takes.EXPRESSION,), in_gdb=True, examples=("rwatch *0x104038:8",),
)  # fmt: skip
async def _rwatch(session: Session, text: str) -> Result:
    return await _watch_kind(session, text, WatchKind.READ)


@POINTS.command(
    "awatch", Category.POINTS, "Stop when LENGTH bytes at ADDRESS are read or written.",
    arguments="*ADDRESS:LENGTH", takes=(Takes.EXPRESSION,), in_gdb=True, examples=("awatch *0x104038:8",),
)  # fmt: skip
async def _awatch(session: Session, text: str) -> Result:
    return await _watch_kind(session, text, WatchKind.ACCESS)


@POINTS.command(
    "delete", Category.POINTS, "Delete breakpoints and watchpoints: those numbered, or all.",
    arguments="[NUMBER...]", aliases=("d",), in_gdb=True, examples=("delete 2", "delete"),
)  # fmt: skip
async def _delete(session: Session, text: str) -> Result | None:
    if not text:
        session.replay.points.delete()
        return Message("All breakpoints and watchpoints are deleted.")
    for word in text.split():
        if not word.isdecimal():
            raise UsageError(f"'{word}' is not a breakpoint's number; 'info breakpoints' lists them.")
        session.replay.points.delete(int(word))
    return None


@POINTS.command(
    "info breakpoints", Category.POINTS, "List breakpoints and watchpoints.",
    aliases=("i b", "info b", "info watchpoints"), in_gdb=True, examples=("info breakpoints",),
)  # fmt: skip
async def _info_breakpoints(session: Session, text: str) -> Result:
    nothing_more(text, "info breakpoints")
    return Points(tuple(session.replay.points))
