"""Commands about breakpoints and watchpoints."""

from __future__ import annotations

from rrdbg.commands.arguments import nothing_more, read_address
from rrdbg.commands.registry import Category, Registry, Takes
from rrdbg.commands.scope import Wanted
from rrdbg.commands.session import Session
from rrdbg.commands.subject import TASK_DETAILS, Scopes, Subject
from rrdbg.errors import UsageError
from rrdbg.model.hits.stop import WatchKind, check_physical
from rrdbg.model.hits.task_runs import TaskRuns
from rrdbg.model.results import Message, Points, PointSet, Result
from rrdbg.model.timeline.position import START

POINTS = Registry()


@POINTS.command(
    "break", Category.POINTS, "Set a breakpoint at an address.",
    arguments="*ADDRESS [--here|--task NAME|PID]", aliases=("b", "br"),
    takes=(Takes.LOCATION,), in_gdb=True,
    details="It counts in every address space; with --here, in the one at the cursor alone; with --task, while that "
    "task of a Linux guest runs, or any thread of the process with that number. With one of these words it is rrdbg's "
    "breakpoint in the shell, also where there is a GDB, and a function's name may stand for the address.",
    examples=("break *0x1005c0", "break *$pc", "break *$pc --here", "break do_exit --task cat"),
)  # fmt: skip
async def _break(session: Session, text: str) -> Result:
    if not text:
        raise UsageError("'break' needs an address; write break *0x1000.")
    what, wanted = Wanted.read(text)
    address = await read_address(session, what)
    space = await session.replay.space_of(address) if wanted.here else None
    task = await _runs(session, wanted.task)
    return PointSet(session.replay.points.add_breakpoint(address, space, task))


async def _runs(session: Session, task: str) -> TaskRuns | None:
    return await session.linux.runs_of(task, START, session.replay.timeline.end) if task else None


async def _watch_kind(session: Session, text: str, kind: WatchKind) -> Result:
    if not text:
        raise UsageError(f"'{kind}' needs an address and a length; write {kind} *0x1000:8.")
    what, scopes = Scopes.read(text)
    subject, replay = await Subject.read(session, what, scopes), session.replay
    task = await _runs(session, scopes.task)
    if subject.physical:
        check_physical(kind)
        return PointSet(replay.points.add_physical(subject.physical, task))
    address, length = subject.variable.address, subject.variable.length
    anywhere = scopes.everywhere or task or replay.spaces.everywhere or replay.spaces.task
    space = None if anywhere else await replay.space_of(address)
    return PointSet(replay.points.add_watchpoint(address, length, kind, space, task))


@POINTS.command(
    "watch", Category.POINTS, "Stop when a write changes LENGTH bytes at ADDRESS.",
    arguments="*ADDRESS:LENGTH [--everywhere|--physical|--task NAME|PID]", takes=(Takes.EXPRESSION,), in_gdb=True,
    details="An address that each process has memory of its own at is watched in the address space at the cursor; "
    "with --everywhere, in all. With --physical it is a physical address, whose memory is watched by whatever address "
    "it is written to; an expression means the memory behind it at the cursor. QEMU's plugin is needed for that ('info "
    "accelerator'). With one of these words it is rrdbg's watchpoint in the shell, also where there is a GDB. A change "
    "that no instruction has made, as by a disk's DMA, stops, too, and is told as that. " + TASK_DETAILS,
    examples=("watch *0x104038:8", "watch *$rsp:4", "watch *0x104038:8 --physical", "watch *0x4a9000:8 --task 42"),
)  # fmt: skip
async def _watch(session: Session, text: str) -> Result:
    return await _watch_kind(session, text, WatchKind.WRITE)


@POINTS.command(
    "rwatch", Category.POINTS, "Stop when LENGTH bytes at ADDRESS are read.",
    arguments="*ADDRESS:LENGTH [--everywhere|--task NAME|PID]", takes=(Takes.EXPRESSION,), in_gdb=True,
    examples=("rwatch *0x104038:8",),
)  # fmt: skip
async def _rwatch(session: Session, text: str) -> Result:
    return await _watch_kind(session, text, WatchKind.READ)


@POINTS.command(
    "awatch", Category.POINTS, "Stop when LENGTH bytes at ADDRESS are read or written.",
    arguments="*ADDRESS:LENGTH [--everywhere|--task NAME|PID]", takes=(Takes.EXPRESSION,), in_gdb=True,
    examples=("awatch *0x104038:8",),
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


@POINTS.command(
    "address-space", Category.POINTS, "Tell the address space at the cursor, or where watchpoints count.",
    arguments="[here|everywhere]", words=("here", "everywhere"),
    details="Each process has memory of its own at the same virtual addresses. A watchpoint at one counts in the "
    "address space where the cursor is when it is first used: what happens in others is left out. 'address-space "
    "here' has all of GDB's watchpoints mean the one at the cursor from now on, 'address-space everywhere' has them, "
    "and what searches for writes and reads, count in all. An address space is named by the physical address of its "
    "page tables' root.",
    examples=("address-space", "address-space here", "address-space everywhere"),
)  # fmt: skip
async def _address_space(session: Session, text: str) -> Result:
    replay = session.replay
    if text not in ("", "here", "everywhere"):
        raise UsageError(f"'address-space' takes here or everywhere, not '{text}'.")
    if text:
        replay.spaces.everywhere = text == "everywhere"
        replay.spaces.forget()
    root = await replay.space_in_use()
    where = (
        f"The address space at the cursor is {root:#x}." if root is not None else "There are no address spaces here."
    )
    counts = "in every address space" if replay.spaces.everywhere else "in the address space where they were first used"
    return Message(f"{where} Watchpoints count {counts}.")


@POINTS.command(
    "task-scope", Category.POINTS, "Tell while which task breakpoints and watchpoints count, or keep to one.",
    arguments="[NAME|PID|all]", words=("all",), takes=(Takes.TEXT,),
    details="All points, GDB's too, and what is searched for then count only while that task of a Linux guest runs, or "
    "any thread of the process with that number, in whatever address space it has; 'task-scope all' ends that. Points "
    "with --task, --here or an address space of their own keep that. When the task runs is found in one pass, which "
    "is kept ('info switches').",
    examples=("task-scope", "task-scope kswapd0", "task-scope 42", "task-scope all"),
)  # fmt: skip
async def _task_scope(session: Session, text: str) -> Result:
    spaces = session.replay.spaces
    if text:
        spaces.task = None if text == "all" else await _runs(session, text)
        spaces.forget()
    who = f"while {spaces.task} runs" if spaces.task else "whoever runs"
    return Message(f"Breakpoints and watchpoints count {who}.")
