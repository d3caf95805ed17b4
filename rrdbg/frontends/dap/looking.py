"""Requests that look at the guest where it stands."""

from __future__ import annotations

import base64
from pathlib import PurePath
from typing import Any

from rrdbg.commands.help import COMMANDS
from rrdbg.errors import RrdbgError, UsageError
from rrdbg.frontends.dap.channel import Body
from rrdbg.frontends.dap.requests import Requests, Then
from rrdbg.frontends.dap.session import Session
from rrdbg.frontends.dap.variables import MOST_PARTS, CpuRegisters, Locals, Parent, assigned, evaluated
from rrdbg.frontends.repl.routing import Ours, dispatch
from rrdbg.model.document import Document
from rrdbg.model.hits.stop import Stop
from rrdbg.model.results import Changed, Output, Stopped
from rrdbg.model.shown import shown
from rrdbg.render.text import render

LOOKING = Requests()

_MOST_FRAMES = 1000
_MOST_MEMORY = 1 << 20
_MOST_INSTRUCTIONS = 10_000
_LONGEST_INSTRUCTION = 16
_UNCHANGEABLE = (
    "The guest is a recording, in which nothing can be changed; 'what-if on' in the debug console starts a copy that "
    "can be."
)


@LOOKING.answers("stackTrace", "supportsDelayedStackTraceLoading")
async def _stack_trace(session: Session, arguments: Document) -> Body:
    start, levels = _number(arguments, "startFrame", 0), _number(arguments, "levels", 0) or 100
    end = min(start + levels, _MOST_FRAMES)
    depth = int((await session.mi(f"-stack-info-depth {end + 1}"))["depth"])
    if start >= depth:
        return {"stackFrames": [], "totalFrames": depth}
    listed = (await session.mi(f"-stack-list-frames {start} {min(end, depth) - 1}"))["stack"]
    return {"stackFrames": [_frame(session, frame) for frame in listed], "totalFrames": depth}


def _frame(session: Session, frame: dict[str, Any]) -> Body:
    frame = frame.get("frame", frame)
    body: Body = {
        "id": session.frame_id(int(frame["level"])), "name": frame.get("func", "??"), "line": int(frame.get("line", 0)),
        "column": 0, "instructionPointerReference": frame.get("addr", "0x0"),
    }  # fmt: skip
    if path := frame.get("fullname") or frame.get("file"):
        body["source"] = {"name": PurePath(path).name, "path": path}
    else:
        body["presentationHint"] = "subtle"
    return body


@LOOKING.answers("scopes")
async def _scopes(session: Session, arguments: Document) -> Body:
    level = session.level(arguments["frameId"].integer())
    scopes: list[Body] = [
        {
            "name": "Locals", "presentationHint": "locals", "expensive": False,
            "variablesReference": session.reference(Locals(level)),
        }
    ]  # fmt: skip
    if level == 0:
        scopes.append(
            {
                "name": "Registers", "presentationHint": "registers", "expensive": False,
                "variablesReference": session.reference(CpuRegisters()),
            }
        )  # fmt: skip
    return {"scopes": scopes}


@LOOKING.answers("variables", "supportsVariableType", "supportsVariablePaging")
async def _variables(session: Session, arguments: Document) -> Body:
    parent: Parent = session.referred(arguments["variablesReference"].integer())
    count = min(_number(arguments, "count", 0) or MOST_PARTS, MOST_PARTS)
    return {"variables": await parent.parts(session, _number(arguments, "start", 0), count)}


@LOOKING.answers("evaluate", "supportsEvaluateForHovers")
async def _evaluate(session: Session, arguments: Document) -> Body | Then:
    """An expression, or in the debug console a line as in rrdbg's shell."""
    expression = arguments["expression"].text().strip()
    context, frame = arguments.get("context"), arguments.get("frameId")
    level = 0 if frame is None else session.level(frame.integer())
    if context is not None and context.text() == "repl":
        return await _run(session, expression, level)
    made = await evaluated(session, expression, level)
    return {"result": made["value"], **{key: made[key] for key in made if key not in ("name", "value", "evaluateName")}}


async def _run(session: Session, line: str, level: int) -> Body | Then:
    """What a line of the debug console prints; a movement is told as one."""
    who = dispatch(line, session.debugger.canonical)
    before = session.replay.position
    stop: Stop | None = None
    printed = []
    try:
        if isinstance(who, Ours):
            async for answer in who.command.answers(session.debugger.session, who.text):
                if isinstance(answer, Stopped | Changed):
                    stop = answer.stop if isinstance(answer, Stopped) else answer.stopped.stop
                printed.append(render(answer))
        else:
            await session.mi(f"-stack-select-frame {level}")
            for answer in await session.debugger.run(line):
                if isinstance(answer, Stopped):
                    stop = answer.stop
                printed.append(shown(answer.text) if isinstance(answer, Output) else render(answer))
    except RrdbgError:
        if session.replay.position != before:
            await session.stopped("goto")
        raise
    body = {"result": "\n".join(text.rstrip("\n") for text in printed), "variablesReference": 0}
    switched = await session.follow_what_if()
    if stop is None and session.replay.position == before and not switched:
        return body
    found = stop

    async def same() -> Stop | None:
        return found

    return Then(lambda: session.stop_after(same, "goto"), body)


@LOOKING.answers("setVariable", "supportsSetVariable")
async def _set_variable(session: Session, arguments: Document) -> Body:
    """Only in a what-if: a recording cannot be changed."""
    name, value = arguments["name"].text(), arguments["value"].text()
    if not session.debugger.in_what_if:
        raise UsageError(_UNCHANGEABLE)
    parent: Parent = session.referred(arguments["variablesReference"].integer())
    return _told(await assigned(session, *await parent.assignable(session, name), value))


def _told(made: Body) -> Body:
    """What an editor is told of a value that it has set."""
    return {key: made[key] for key in made if key not in ("name", "evaluateName", "memoryReference")}


@LOOKING.answers("setExpression", "supportsSetExpression")
async def _set_expression(session: Session, arguments: Document) -> Body:
    """The same of what is watched."""
    if not session.debugger.in_what_if:
        raise UsageError(_UNCHANGEABLE)
    frame = arguments.get("frameId")
    level = 0 if frame is None else session.level(frame.integer())
    return _told(await assigned(session, arguments["expression"].text(), level, arguments["value"].text()))


@LOOKING.answers("completions", "supportsCompletionsRequest")
async def _completions(session: Session, arguments: Document) -> Body:
    """Lines of the debug console: rrdbg's commands, and all that GDB knows."""
    text = arguments["text"].text()[: max(arguments["column"].integer(1) - 1, 0)]
    ours = [command.name for command in COMMANDS.commands if command.name.startswith(text)]
    lines = dict.fromkeys([*ours, *await session.debugger.complete(text)])
    return {"targets": [{"label": line, "start": 0, "length": len(text)} for line in lines]}


@LOOKING.answers("readMemory", "supportsReadMemoryRequest")
async def _read_memory(session: Session, arguments: Document) -> Body:
    offset = arguments.get("offset")
    address = _address(arguments) + (0 if offset is None else offset.integer(-(1 << 62)))
    count = arguments["count"].integer(0, _MOST_MEMORY)
    try:
        data = await _memory(session, address, count) if count else b""
    except RrdbgError:
        return {"address": hex(address), "unreadableBytes": count}
    return {"address": hex(address), "data": base64.b64encode(data).decode()}


async def _memory(session: Session, address: int, count: int) -> bytes:
    if not session.debugger.in_what_if:
        return await session.replay.read_memory(address, count)
    (read,) = (await session.mi(f"-data-read-memory-bytes {address:#x} {count}"))["memory"]
    return bytes.fromhex(read["contents"])


@LOOKING.answers("disassemble", "supportsDisassembleRequest")
async def _disassemble(session: Session, arguments: Document) -> Body:
    """Exactly as many instructions as are asked for; those before an address are chosen so that they meet it."""
    offset = arguments.get("offset")
    address = _address(arguments) + (0 if offset is None else offset.integer(-(1 << 62)))
    count = arguments["instructionCount"].integer(0, _MOST_INSTRUCTIONS)
    skip_value = arguments.get("instructionOffset")
    skip = 0 if skip_value is None else skip_value.integer(-_MOST_INSTRUCTIONS, _MOST_INSTRUCTIONS)
    before = await _instructions_before(session, address, -skip) if skip < 0 else []
    after = await session.replay.disassemble(address, max(count + skip, 0)) if count + skip > 0 else []
    lines = [*before, *after[max(skip, 0) :]][:count]
    missing = [(0, "??")] * (count - len(lines))
    return {
        "instructions": [
            {"address": hex(place), "instruction": text}
            | ({"presentationHint": "invalid"} if text == "??" else await _source_of(session, place))
            for place, text in [*lines, *missing]
        ]
    }


async def _source_of(session: Session, address: int) -> Body:
    symbol = await session.debugger.symbols.place(address)
    return {} if symbol.startswith("0x") else {"symbol": symbol}


async def _instructions_before(session: Session, address: int, count: int) -> list[tuple[int, str]]:
    """The ``count`` instructions before an address: lengths differ, so one must begin where they meet it."""
    for start in range(max(address - count * _LONGEST_INSTRUCTION, 0), address):
        try:
            lines = await session.replay.disassemble(start, (address - start) + 1)
        except RrdbgError:
            continue
        places = [place for place, _ in lines]
        if address in places:
            found = lines[: places.index(address)][-count:]
            return [(0, "??")] * (count - len(found)) + found
    return [(0, "??")] * count


def _address(arguments: Document) -> int:
    text = arguments["memoryReference"].text(100)
    try:
        return int(text, 0)
    except ValueError:
        raise UsageError(f"'{text}' is no reference to memory; it is an address such as 0x1000.") from None


def _number(arguments: Document, name: str, otherwise: int) -> int:
    value = arguments.get(name)
    return otherwise if value is None or value.is_null() else value.integer()
