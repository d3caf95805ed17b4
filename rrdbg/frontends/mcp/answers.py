"""Answers as an agent reads them: short lines of text, a position first, and always how much was looked at."""

from __future__ import annotations

import re

from rrdbg.errors import GdbError, RrdbgError
from rrdbg.frontends.api import AsyncReplay
from rrdbg.model.shown import on_one_line, shown
from rrdbg.model.timeline.position import Position

MOST_TEXT = 24_000
"""Characters of an answer: some 8,000 tokens."""

MOST_VALUE = 1_000
"""Characters of one value, line or message of somebody else's."""

_AROUND = 3
"""Source lines before and after the one at the cursor."""

_SMALL = 255

_SOURCE = re.compile(r"(\d+)\t(.*)")


def bounded(text: str) -> str:
    """``text`` as it may be sent: with nothing that a terminal obeys, and cut with a count."""
    text = shown(text)
    if len(text) <= MOST_TEXT:
        return text
    return f"{text[:MOST_TEXT]}\n[{len(text) - MOST_TEXT:,} more characters are left out; ask for fewer.]"


def cut(text: str) -> str:
    """A value, or a line of somebody else's, on one line."""
    text = on_one_line(text)
    return text if len(text) <= MOST_VALUE else f"{text[:MOST_VALUE]} [{len(text) - MOST_VALUE:,} more characters]"


def number(text: str) -> str:
    """A value as GDB prints it; a large decimal number also in hexadecimal, which is how addresses are known."""
    return f"{text} ({int(text):#x})" if text.isdecimal() and int(text) > _SMALL else cut(text)


def at(position: Position, end: Position) -> str:
    """A position and its share of the recording."""
    return f"{position} ({position.percent(end):.1f}%)"


async def place(replay: AsyncReplay, frames: int) -> str:
    """The cursor: its position, the instruction, the source lines around it, and the innermost ``frames`` functions."""
    ((pc, instruction), *_) = await replay.disassemble() or [(await replay.cursor.pc(), "(not to be read)")]
    lines = [f"position: {at(replay.position, replay.end)}", f"next instruction: {pc:#x}  {instruction}"]
    if not await replay.has_gdb():
        return "\n".join([*lines, "No GDB knows this guest, so there are no symbols."])
    frame = await replay.frame()
    if frame and frame.function:
        where = f" at {frame.file}:{frame.line}" if frame.file else ""
        lines.append(f"in: {cut(frame.function + where)}")
    if frame and frame.line:
        lines += await _source(replay, frame.line)
    if frames:
        lines += ["backtrace:", *await _backtrace(replay, frames)]
    return "\n".join(lines)


async def _source(replay: AsyncReplay, line: int) -> list[str]:
    """The lines around ``line``, which is the cursor's.

    A recording from elsewhere says itself which file they are in; what lies on this machine is not sent for it.
    """
    if not replay.cursor.recording.own:
        return ["(source lines are not shown of a recording that was made elsewhere)"]
    try:
        listed = _SOURCE.findall(await replay.gdb("list *$pc"))
    except GdbError:
        return []
    return [
        f"{'=>' if int(number) == line else '  '} {number}\t{cut(text)}"
        for number, text in listed
        if abs(int(number) - line) <= _AROUND
    ]


async def _backtrace(replay: AsyncReplay, frames: int) -> list[str]:
    try:
        # Of a frame without lines, as that of an exception of a Cortex-M, it would try to show the instruction.
        told = (await replay.gdb(f"with disassemble-next-line off -- backtrace {frames}")).splitlines()
    except GdbError as error:
        return [f"(none: {cut(str(error))})"]
    return [cut(line) for line in told[: 2 * frames + 1]]


async def value(replay: AsyncReplay, expression: str) -> str:
    """``EXPRESSION = VALUE`` at the cursor, or why it has none."""
    try:
        told = await (await replay.debugger()).symbols.value(expression)
    except RrdbgError as error:
        return f"{expression}: {cut(str(error))}"
    return f"{expression} = {number(told)}"
