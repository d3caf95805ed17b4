"""Commands that move the cursor."""

from __future__ import annotations

from rrdbg.commands.arguments import nothing_more, read_position, read_repeat
from rrdbg.commands.registry import Category, Registry, Takes
from rrdbg.commands.session import Session
from rrdbg.engine.queries.returning import run_out
from rrdbg.model.hits.stop import Breakpoint
from rrdbg.model.results import Result
from rrdbg.model.timeline.position import START

TRAVEL = Registry()


@TRAVEL.command(
    "stepi", Category.RUNNING, "Execute one instruction, or COUNT of them.",
    arguments="[COUNT]", aliases=("si",), repeats=True,
    details="Taking an interrupt or an exception counts as one step: it is shown as a position with the same "
    "instruction count and a phase, such as 7,300,446:1. GDB asks its server for many steps one by one; there 'rrdbg "
    "stepi COUNT', or 'monitor stepi COUNT', makes them at once.",
    in_gdb=True,
    examples=("stepi", "si 100"),
)  # fmt: skip
async def _stepi(session: Session, text: str) -> Result:
    return await session.stopped(await session.replay.stepi(read_repeat(text)))


@TRAVEL.command(
    "reverse-stepi", Category.RUNNING, "Go back by one instruction, or by COUNT of them.",
    arguments="[COUNT]", aliases=("rsi",), repeats=True,
    in_gdb=True,
    examples=("reverse-stepi", "rsi 1000"),
)  # fmt: skip
async def _reverse_stepi(session: Session, text: str) -> Result:
    return await session.stopped(await session.replay.reverse_stepi(read_repeat(text)))


@TRAVEL.command(
    "continue", Category.RUNNING, "Run forward to the next breakpoint or watchpoint, or to the end.",
    aliases=("c", "fg"), repeats=True, in_gdb=True, examples=("continue",),
)  # fmt: skip
async def _continue(session: Session, text: str) -> Result:
    nothing_more(text, "continue")
    return await session.stopped(await session.replay.cont())


@TRAVEL.command(
    "reverse-continue", Category.RUNNING, "Go back to the last breakpoint or watchpoint hit, or to the start.",
    aliases=("rc",), repeats=True,
    details="At a watchpoint the cursor is left on the instruction that is about to make the access, and the "
    "old and the new value are shown.",
    in_gdb=True,
    examples=("watch *0x104038:8", "reverse-continue"),
)  # fmt: skip
async def _reverse_continue(session: Session, text: str) -> Result:
    nothing_more(text, "reverse-continue")
    return await session.stopped(await session.replay.reverse_cont())


@TRAVEL.command(
    "finish", Category.RUNNING, "Run to where the function at the cursor has returned, by its return instruction.",
    aliases=("fin",), repeats=True,
    details="For code that no debugger knows a frame of, as all 16-bit code of x86 is, and firmware without symbols; "
    "elsewhere GDB's own 'finish' runs to the caller. It steps to the first return at which the stack is no deeper "
    "than here, and stops at rrdbg's own breakpoints before. On Arm, AArch64, RISC-V and PowerPC, where a call leaves "
    "the address in a register, it counts the calls inside. In GDB it is 'rrdbg finish', or 'monitor finish'.",
    in_gdb=True,
    examples=("finish",),
)  # fmt: skip
async def _finish(session: Session, text: str) -> Result:
    nothing_more(text, "finish")
    breakpoints = {point.address for point in session.replay.points if isinstance(point, Breakpoint)}
    return await session.stopped(await run_out(session.replay, breakpoints))


@TRAVEL.command(
    "seek", Category.RUNNING, "Go to a position.",
    arguments="POSITION",
    details="A position is an instruction count (1,234 or 0x4d2 or 1.2e6), a count with a phase (1,234:1), a "
    "share of the recording (50%), a distance from here (+1e6, -3), start, end, a bookmark (@NAME), or a time of the "
    "guest's clock: of the day in UTC (2026-11-22T10:00:03), since the start (12.5s), from here (+20ms, -7us).",
    takes=(Takes.POSITION,),
    examples=("seek 50%", "seek -1,000", "seek end", "seek @oops", "seek 12.5s", "seek -20ms"),
)  # fmt: skip
async def _seek(session: Session, text: str) -> Result:
    return await session.stopped(await session.replay.seek(await read_position(session, text)))


@TRAVEL.command(
    "start", Category.RUNNING, "Go to the start of the recording.", aliases=("run", "r"), examples=("start",)
)
async def _start(session: Session, text: str) -> Result:
    nothing_more(text, "start")
    return await session.stopped(await session.replay.seek(START))


@TRAVEL.command("end", Category.RUNNING, "Go to the end of the recording.", examples=("end",))
async def _end(session: Session, text: str) -> Result:
    nothing_more(text, "end")
    return await session.stopped(await session.replay.seek(session.replay.timeline.end))


@TRAVEL.command(
    "when", Category.RUNNING, "Tell the position of the cursor, and the guest's time there.", examples=("when",)
)
async def _when(session: Session, text: str) -> Result:
    nothing_more(text, "when")
    return await session.where()
