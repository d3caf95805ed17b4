"""The control channel: the registry's commands for a program that debugs through the remote protocol meanwhile.

A second connection to the server's address that begins with ``rrdbg control 1`` is one, to the client whose number
follows (:mod:`rrdbg.frontends.server.connection`). Both sides then send JSON objects, one a line. The server begins
with what it is; each request gets its results as they come, then one answer, and while it is worked on a sign of life
twice a second, so that silence means that the server is gone. Unlike ``monitor`` it tells errors from text and what has
moved, can be interrupted at any moment, and tells on request what others do. docs/reference/remote-protocol.md
describes the objects.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

from rrdbg.commands.arguments import read_position
from rrdbg.commands.declarations import declarations
from rrdbg.commands.help import COMMANDS
from rrdbg.engine.linux.kernel import kernel_of, symbols_kept
from rrdbg.engine.machines.progress import Progress
from rrdbg.errors import RrdbgError, UsageError
from rrdbg.frontends.server.seat import Seat
from rrdbg.model.document import Document, DocumentError
from rrdbg.model.program.architecture import is_elf
from rrdbg.model.program.code_mode import described_as
from rrdbg.render.json_lines import to_json
from rrdbg.render.text import render
from rrdbg.store.opening import is_inside, open_regular
from rrdbg.store.recording import Recording

VERSION = 1
_HEADER = 64
_LIFE_SECONDS = 0.5


class Control:
    """One such connection.

    It is for the client at ``seat``, and tells ``writer`` what it has to say.
    """

    def __init__(self, seat: Seat, writer: asyncio.StreamWriter) -> None:
        self._seat = seat
        self._stub = seat.stub
        self._floor = seat.floor
        self._writer = writer
        self._answering: asyncio.Task[None] | None = None
        self._work: asyncio.Task[dict[str, Any]] | None = None
        self._cancelled = False
        self._progress: Progress | None = None
        self._obeying = False
        self._told: dict[str, Any] = {}
        self._watches = False

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Answer requests until the client leaves; what it waits for then is interrupted."""
        self._send(self._introduction())
        leave, look_away = self._floor.join(self._halt), self._floor.watch(self._look)
        try:
            while line := await reader.readline():
                self._take(line)
        except (ConnectionError, ValueError):
            pass  # the client has gone, or sends what is no line: it is sent away
        finally:
            look_away()
            leave()
            self._cancel()
            if self._answering:
                await self._answering

    def _introduction(self) -> dict[str, Any]:
        recording = self._stub.replay.recording
        return {
            "rrdbg": VERSION,
            "recording": recording.name,
            "architecture": described_as(recording.manifest.invocation.architecture) or "",
            "declarations": declarations(),
            "shared": self._floor.shared,
            **self._place(),
        }

    def _take(self, line: bytes) -> None:
        try:
            request = Document.parse(line).plain()
        except DocumentError:
            request = None
        if request == {"cancel": True}:
            self._cancelled = True
            self._cancel()
        elif self._answering and not self._answering.done():
            self._send({"error": "The request before is not answered yet."})
        else:
            self._cancelled = False
            self._answering = asyncio.create_task(self._answer(request))

    async def _answer(self, request: object) -> None:
        self._work = asyncio.create_task(self._perform(request))
        while not self._work.done():
            await asyncio.wait((self._work,), timeout=_LIFE_SECONDS)
            if not self._work.done():
                self._cancel_again()
                progress = self._progress
                told = progress and {"icount": progress.icount, "share": progress.share}
                self._send({"progress": told})
        self._send(self._work.result())
        self._work = self._progress = None
        self._floor.changed(self._seat.number)

    def _halt(self) -> None:
        """Somebody who shares the cursor, and waits for what is done here, has entered Ctrl-C."""
        if self._obeying:
            self._cancel()

    def _look(self, by: int) -> None:
        """Tell where the guest is now, if this channel has not brought it there itself, and so of bookmarks."""
        if self._watches and not self._obeying and self._place() != self._told:
            self._send({"event": "changed", "by": by, **self._place()})

    def _cancel(self) -> None:
        """Interrupt what is under way; nothing else may be cancelled."""
        if self._work and not self._work.done() and self._stub.moving:
            self._cancelled = False
            self._work.cancel()

    def _cancel_again(self) -> None:
        """It could not be interrupted when that was asked: at rest between two movements."""
        if self._cancelled:
            self._cancel()

    async def _perform(self, request: object) -> dict[str, Any]:
        if request == {"prompt": True}:
            await self._seat.give_up()
        if request == {"watch": True}:
            self._watches = True
        if self._floor.idle.locked() and self._stub.moving:
            return {"error": "The guest is running; stop it first.", "changed": False, **self._place()}
        async with self._floor.idle:
            self._obeying = True
            self._stub.speak_here()
            before = self._stub.state
            error = ""
            try:
                await self._obey(request)
            except RrdbgError as raised:
                error = str(raised)
            except asyncio.CancelledError:
                error = f"Interrupted at {self._stub.replay.position}."
            finally:
                self._obeying = False
            self._stub.jumped_from(before)
            self._stub.seen()
            return {"error": error, "changed": self._stub.state != before, **self._place()}

    async def _obey(self, request: object) -> None:
        match request:
            case {"run": str(line)}:
                try:
                    await self._run(line)
                finally:
                    self._note_visit()
            case {"visit": str(position)}:
                target = await read_position(self._stub.session, position)
                with self._stub.progress(self._note):
                    await self._stub.replay.seek(target)
            case {"symbols": True}:
                with self._stub.progress(self._note):
                    await kernel_of(self._stub.replay)
                path = symbols_in(self._stub.replay.recording)
                self._send({"result": {"kind": "symbols", "path": str(path or ""), "text": ""}})
            case {"task": str(who)}:
                await self._stub.session.linux.tasks()
                running = await self._stub.session.linux.running()
                runs = running is not None and running.task.is_called(who)
                self._send({"result": {"kind": "task", "runs": runs, "text": ""}})
            case {"stopped": True}:
                self._note_visit()
            case {"prompt": True}:
                if self._stub.unsaid:
                    self._send({"result": {"kind": "refused", "text": self._stub.unsaid}})
                self._stub.unsaid = ""
            case {"where": True} | {"watch": True}:
                pass
            case _:
                raise UsageError(
                    "A request has one of the keys run, visit, symbols, task, where, stopped, prompt, watch and cancel."
                )

    async def _run(self, line: str) -> None:
        async with aclosing(COMMANDS.run(self._stub.session, line)) as results:
            with self._stub.progress(self._note):
                async for result in results:
                    self._send({"result": {**json.loads(to_json(result)), "text": render(result)}})

    def _note_visit(self) -> None:
        """The user is here now: ``back`` will know."""
        self._stub.session.visits.note(self._stub.replay.position)

    def _note(self, progress: Progress) -> None:
        self._progress = progress

    def _place(self) -> dict[str, Any]:
        replay = self._stub.replay
        replay.catch_up()
        here, end = replay.position, replay.timeline.end
        return {
            "position": {
                "text": str(here), "icount": here.icount, "phase": here.phase, "percent": here.percent(end),
                "end": end.icount, "what_if": self._stub.in_what_if,
            },
            "bookmarks": sorted(replay.timeline.bookmarks),
        }  # fmt: skip

    def _send(self, content: dict[str, Any]) -> None:
        if "position" in content:
            self._told = {name: content[name] for name in ("position", "bookmarks")}
        with contextlib.suppress(ConnectionError):
            self._writer.write(json.dumps(content).encode() + b"\n")


def symbols_in(recording: Recording) -> Path | None:
    """The ELF file of a recorded kernel, or the one of the names that a Linux guest was found to have itself."""
    kernel = recording.layout.bundled("kernel")
    if is_inside(kernel.parent, kernel.name):
        with open_regular(kernel) as file:
            if is_elf(file.read(_HEADER)):
                return kernel
    return symbols_kept(recording)
