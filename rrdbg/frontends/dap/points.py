"""Requests that set breakpoints. They are GDB's, so their conditions are, and their numbers are the client's ids."""

from __future__ import annotations

from typing import Any

from rrdbg.errors import RrdbgError, UsageError
from rrdbg.frontends.dap.channel import Body
from rrdbg.frontends.dap.requests import Requests
from rrdbg.frontends.dap.session import Session
from rrdbg.frontends.dap.source import source_line
from rrdbg.links.mi import quoted
from rrdbg.model.document import Document
from rrdbg.model.shown import shown

POINTS = Requests()

_MOST = 1000
_ACCESS = {"write": "watch", "read": "rwatch", "readWrite": "awatch"}


@POINTS.answers("setBreakpoints", "supportsConditionalBreakpoints", "supportsLogPoints")
async def _set_breakpoints(session: Session, arguments: Document) -> Body:
    """Those of one source file; the ones that were set there before are replaced."""
    path = arguments["source"]["path"].text()
    await _clear(session, path)
    wanted = arguments.get("breakpoints")
    logpoints, told = [], []
    for point in [] if wanted is None else wanted.values(most=_MOST):
        line, condition = point["line"].integer(), _text(point, "condition")
        message = _text(point, "logMessage")
        if message:
            logpoints.append((line, condition, message))
            told.append({"id": session.number(), "verified": True, "line": line, "message": "printed of all of time"})
        else:
            told.append(await _insert(session, path, source_line(path, line), condition, "breakpoint"))
    await session.log.replace(path, logpoints)
    return {"breakpoints": told}


@POINTS.answers("setFunctionBreakpoints", "supportsFunctionBreakpoints")
async def _set_function_breakpoints(session: Session, arguments: Document) -> Body:
    await _clear(session, "function")
    return {
        "breakpoints": [
            await _insert(session, "function", point["name"].text(), _text(point, "condition"), "function breakpoint")
            for point in arguments["breakpoints"].values(most=_MOST)
        ]
    }


@POINTS.answers("setInstructionBreakpoints", "supportsInstructionBreakpoints")
async def _set_instruction_breakpoints(session: Session, arguments: Document) -> Body:
    await _clear(session, "instruction")
    told = []
    for point in arguments["breakpoints"].values(most=_MOST):
        offset = point.get("offset")
        address = int(point["instructionReference"].text(), 0) + (0 if offset is None else offset.integer(-(1 << 40)))
        condition = _text(point, "condition")
        told.append(await _insert(session, "instruction", f"*{address:#x}", condition, "instruction breakpoint"))
    return {"breakpoints": told}


@POINTS.answers("dataBreakpointInfo", "supportsDataBreakpoints", "supportsDataBreakpointBytes")
async def _data_breakpoint_info(session: Session, arguments: Document) -> Body:
    """Where a variable lies; a data breakpoint is on that memory, so that it goes on when the variable's scope ends."""
    name = arguments["name"].text()
    reference, bytes_there = arguments.get("variablesReference"), arguments.get("bytes")
    try:
        if bytes_there is not None:
            address, length = await session.debugger.symbols.number(name), bytes_there.integer(1)
        else:
            expression, level = name, 0
            if reference is not None and reference.integer():
                expression, level = await session.referred(reference.integer()).expression(session, name)
            elif (frame := arguments.get("frameId")) is not None:
                level = session.level(frame.integer())
            await session.mi(f"-stack-select-frame {level}")
            try:
                variable = await session.debugger.symbols.variable(expression)
            finally:
                await session.mi("-stack-select-frame 0")
            address, length = variable.address, variable.length
    except RrdbgError as error:
        return {"dataId": None, "description": f"{name} cannot be watched: {shown(str(error))}"}
    return {
        "dataId": f"{address:#x}:{length}", "description": f"{name} ({length} bytes at {address:#x})",
        "accessTypes": list(_ACCESS), "canPersist": False,
    }  # fmt: skip


@POINTS.answers("setDataBreakpoints")
async def _set_data_breakpoints(session: Session, arguments: Document) -> Body:
    await _clear(session, "data")
    told: list[Body] = []
    for point in arguments["breakpoints"].values(most=_MOST):
        access = _text(point, "accessType") or "write"
        if access not in _ACCESS:
            raise UsageError(f"A data breakpoint is for {', '.join(_ACCESS)}, not {access}.")
        try:
            before = {row["number"] for row in await _listed(session)}
            await session.debugger.run(f"{_ACCESS[access]} *{point['dataId'].text(100)}")
            (row,) = [row for row in await _listed(session) if row["number"] not in before]
            told.append(await _conditional(session, "data", row, _text(point, "condition"), "data breakpoint"))
        except RrdbgError as error:
            told.append(_refused(session, error))
    return {"breakpoints": told}


@POINTS.answers("setExceptionBreakpoints")
async def _set_exception_breakpoints(session: Session, arguments: Document) -> Body:
    """There are no filters, but clients ask all the same."""
    return {"breakpoints": []}


def _text(point: Document, name: str) -> str:
    value = point.get(name)
    return "" if value is None or value.is_null() else value.text().strip()


async def _listed(session: Session) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await session.mi("-break-list"))["BreakpointTable"]["body"]
    return rows


async def _clear(session: Session, key: str) -> None:
    for number in session.points.pop(key, []):
        session.reasons.pop(number, None)
        await session.mi(f"-break-delete {number}")


async def _insert(session: Session, key: str, location: str, condition: str, reason: str) -> Body:
    try:
        row = (await session.mi(f"-break-insert {quoted(location)}"))["bkpt"]
        return await _conditional(session, key, row, condition, reason)
    except RrdbgError as error:
        return _refused(session, error)


def _refused(session: Session, error: RrdbgError) -> Body:
    return {"id": session.number(), "verified": False, "message": shown(str(error))}


async def _conditional(session: Session, key: str, row: dict[str, Any], condition: str, reason: str) -> Body:
    """Give a breakpoint its condition, and the client what it wants to know; one whose condition is wrong is none."""
    number = int(row["number"])
    try:
        if condition:
            await session.debugger.run(f"condition {number} {' '.join(condition.split())}")
    except RrdbgError:
        await session.mi(f"-break-delete {number}")
        raise
    session.points.setdefault(key, []).append(number)
    session.reasons[number] = reason
    place = row if "line" in row else next(iter(row.get("locations", [])), row)
    body: Body = {"id": number, "verified": True}
    if "line" in place:
        body |= {"line": int(place["line"]), "source": {"path": place.get("fullname", place.get("file", ""))}}
    if str(place.get("addr", "")).startswith("0x"):
        body |= {"instructionReference": place["addr"]}
    return body
