"""Requests that begin and end a session."""

from __future__ import annotations

from pathlib import Path

from rrdbg.errors import RrdbgError
from rrdbg.frontends.api import AsyncReplay
from rrdbg.frontends.dap.channel import Body
from rrdbg.frontends.dap.requests import Requests, Then
from rrdbg.frontends.dap.session import Session
from rrdbg.model.document import Document

LIFECYCLE = Requests()


@LIFECYCLE.answers("launch", early=True)
async def _launch(session: Session, arguments: Document) -> Then:
    """Open the recording; ``recording``, ``symbols``, ``gdb`` and ``at`` are what the command line may say, too."""
    options = session.options

    def said(name: str, otherwise: str | None) -> str | None:
        value = arguments.get(name)
        return otherwise if value is None or value.is_null() else value.text()

    symbols = said("symbols", said("program", options.symbols))
    replay = await AsyncReplay.open(
        said("recording", options.recording), symbols=Path(symbols).expanduser() if symbols else None,
        gdb=said("gdb", options.gdb), spares=options.spares, client="dap",
    )  # fmt: skip
    try:
        await session.open(replay)
        session.start = said("at", options.at) or "end"
        await replay.seek(session.start)
    except RrdbgError:
        await replay.close()
        raise

    async def ready() -> None:
        await session.channel.event(
            "process", {"name": replay.cursor.recording.name, "isLocalProcess": True, "startMethod": "launch"}
        )
        await session.channel.event("initialized", {})

    return Then(ready)


# The same: what is debugged has run long ago.
LIFECYCLE.answers("attach", early=True)(_launch)


@LIFECYCLE.answers("configurationDone", "supportsConfigurationDoneRequest")
async def _configuration_done(session: Session, arguments: Document) -> Then:
    session.configured = True

    async def entry() -> None:
        manifest = session.replay.cursor.recording.manifest
        await session.output(
            f"{session.replay.cursor.recording.name}: {manifest.icount:,} instructions; ended: {manifest.ended}. "
            f"You are at {session.replay.position}; buttons that go back do."
        )
        await session.stopped("entry")

    return Then(entry)


@LIFECYCLE.answers("restart", "supportsRestartRequest")
async def _restart(session: Session, arguments: Document) -> Then:
    """To the start of the recording, wherever the session has begun."""
    return Then(lambda: session.stop_after(lambda: session.replay.seek("start"), "restart"))


@LIFECYCLE.answers("threads")
async def _threads(session: Session, arguments: Document) -> Body:
    """The only one; its name tells the position, which every client shows."""
    here, end = session.replay.position, session.replay.end
    where = "what-if" if session.in_what_if else f"{here} ({here.percent(end):.1f}%)"
    return {"threads": [{"id": 1, "name": f"CPU at {where}"}]}


@LIFECYCLE.answers("rrdbg/when")
async def _when(session: Session, arguments: Document) -> Body:
    """The cursor, and the guest's time there."""
    where = await session.debugger.session.where()
    body = session.position()
    if where.time:
        body |= {"time": where.time.moment.isoformat(), "elapsed": where.time.elapsed}
    return body | {"pc": hex(where.pc), "instruction": where.instruction}
