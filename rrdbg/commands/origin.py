"""The ``origin`` command: how a value came to be where it is, hop by hop."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import PurePath

from rrdbg.commands.registry import Category, Registry, Takes
from rrdbg.commands.session import Session
from rrdbg.commands.subject import read_variable
from rrdbg.engine.queries.origin import DEPTH, decoder_of, origin
from rrdbg.errors import GdbError, Interrupted, RrdbgError, UsageError
from rrdbg.model.program.moves import Hop, MemoryPlace, Place, RegisterPlace
from rrdbg.model.results import Message, Result
from rrdbg.render.text import times, value_text

ORIGIN = Registry()

_DEPTH = re.compile(r"(?P<what>.*?)(?:\s*--depth(?:\s+|=)(?P<depth>\S+))?", re.DOTALL)
_REGISTER = re.compile(r"\$(?P<name>\w+)(?::(?P<size>\d+))?")
_IN_REGISTER = re.compile(r"which is in register \$(\w+)")


@ORIGIN.command(
    "origin", Category.QUERIES, "Follow the value of EXPR back through copies to where it was made.",
    arguments="EXPR [--depth COUNT]", takes=(Takes.EXPRESSION,),
    details="EXPR is a register ($rax), what GDB can take the address of, a variable in a register, or "
    "*ADDRESS:LENGTH. Each hop is an instruction that copied the value, the last one first, at most "
    f"{DEPTH} of them unless told otherwise; the way ends where the value is computed, a constant, input, or from a "
    "device. A write of what is there already is no change. 'seek @NUMBER' goes to a hop; the cursor stays. Needs "
    "the Python package 'capstone'; on x86, aarch64, arm and riscv guests.",
    examples=("origin $rax", "origin tasks[3].magic", "origin *0x104128:8 --depth 5"),
)  # fmt: skip
async def _origin(session: Session, text: str) -> AsyncGenerator[Result, None]:
    replay = session.replay
    match = _DEPTH.fullmatch(text.strip())
    assert match is not None, "the second part may be missing"
    depth = match["depth"] or str(DEPTH)
    if not depth.isdecimal() or not int(depth):
        raise UsageError(f"'--depth' is a number of hops, at least 1, not '{depth}'.")
    place, start = await read_place(session, match["what"]), replay.position
    session.found.clear()
    hop = None
    try:
        async with aclosing(origin(replay, place, int(depth))) as hops:
            async for hop in hops:
                yield await _shown(session, hop)
    except Interrupted:
        await replay.seek(start)
        raise Interrupted(f"Interrupted, back at {start}; {times(len(session.found))} followed.") from None
    except RrdbgError:
        await replay.seek(start)
        raise
    await replay.seek(start)
    assert hop is not None, "there is one at least"
    yield Message(_conclusion(match["what"], hop, len(session.found)))


async def read_place(session: Session, text: str) -> Place:
    """A register (``$eax``, or ``$rax:4`` for its lower bytes), or a place in memory; of a variable, where it is now.

    :raises UsageError: it is neither.
    :raises GdbError: GDB does not know it.
    """
    if match := _REGISTER.fullmatch(text):
        return await _register(session, match["name"], int(match["size"] or 0))
    try:
        variable = await read_variable(session, text)
    except GdbError as error:
        match = _IN_REGISTER.search(str(error))
        if match is None or session.symbols is None:
            raise
        return await _register(session, match[1], await session.symbols.number(f"sizeof({text})"))
    return MemoryPlace(variable.address, variable.length)


async def _register(session: Session, name: str, size: int) -> RegisterPlace:
    layout = (await session.replay.machine()).register_file.registers
    place = (await decoder_of(session.replay)).register(name)
    if place is None:
        raise UsageError(f"There is no register ${name}; 'info registers' lists them.")
    return place.part(0, min(size or place.size, layout[place.name].size))


async def _shown(session: Session, hop: Hop) -> Result:
    where = await _where(session, hop.pc)
    source = str(hop.source) if hop.source else hop.end
    if hop.source and hop.source.size < hop.place.size:
        source += f" ({hop.source.size} of {hop.place.size} bytes)"
    value = value_text(hop.value) if hop.value else ""
    text = f"{hop.place} = {value}  from {source}" if hop.source else f"{hop.place} = {value}  {source}"
    made_by = f"  {hop.instruction}" if hop.instruction else ""
    fields = {
        "place": str(hop.place), "value": value, "from": str(hop.source or ""), "end": hop.end,
        "instruction": hop.instruction, "where": where,
    }  # fmt: skip
    return session.note(hop.position, f"{text}{made_by}  {where}", fields)


async def _where(session: Session, pc: int) -> str:
    """The function at the cursor, and its source line where there is one."""
    if session.symbols is None:
        return f"{pc:#x}"
    frame = await session.symbols.frame()
    if frame is None or not frame.function or not frame.file:
        return await session.symbols.place(pc)
    return f"{frame.function} at {PurePath(frame.file).name}:{frame.line}"


def _conclusion(what: str, hop: Hop, hops: int) -> str:
    """What the last hop says about where the value is from."""
    if hop.source:
        return f"{what} was followed over {hops} hops, as many as were asked for; go on with: origin {hop.source}"
    values = ", ".join(f"${name} = {value:#x}" for name, value in hop.registers.items())
    by = f" by '{hop.instruction}'" + (f", with {values}" if values else "") if hop.instruction else ""
    return f"{what} is from {hop.position}: {hop.end}{by}."
