"""One session with the pages that look at it: they have lines run, and all of them see where that leads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

from rrdbg.commands.arguments import read_address, read_position
from rrdbg.engine.machines.progress import Progress
from rrdbg.engine.queries.tracks import FULL, known_tracks, timeline_tracks, who_ran
from rrdbg.errors import Interrupted, RrdbgError, UsageError
from rrdbg.frontends.repl.runner import Runner
from rrdbg.frontends.web.allowed import allowed
from rrdbg.frontends.web.others import Others
from rrdbg.frontends.web.place import Places, Told, position
from rrdbg.links.unbroken import unbroken
from rrdbg.model.document import Document
from rrdbg.model.results import Result, StackSample
from rrdbg.model.shown import shown
from rrdbg.model.timeline.line import WHO_RAN
from rrdbg.model.timeline.notebook import entry_data, read_entries
from rrdbg.model.timeline.tracks import Track, TrackKind
from rrdbg.model.travel.client import Client
from rrdbg.render.json_lines import to_plain
from rrdbg.render.notebook import notebook_markdown
from rrdbg.render.page import page_data, timeline_page, track_data
from rrdbg.render.text import render
from rrdbg.store.notebook_file import load_notebook, save_notebook
from rrdbg.store.recording import Recording
from rrdbg.store.shared_file import SharedFile

MOST_ANSWERS = 20_000
"""Answers of one line that a page is given."""

_MOST_WAITING = 256
"""Messages that may wait for a page that does not take them; then it is let go, and asks anew."""

_PROGRESS_SECONDS = 0.1
_MEMORY = 256
"""Bytes of memory that are shown."""

_PAGE = 4096


class Workbench:
    """``runner``'s session, for pages; ``places`` tells what is at the cursor. It may be shared with a shell."""

    def __init__(self, runner: Runner, places: Places) -> None:
        self._runner = runner
        self._places = places
        self._pages: set[asyncio.Queue[Told | None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: Told | None = None
        self._asked: asyncio.Task[Any] | None = None  # whose line is run
        self._turn = 0
        self._next_progress = 0.0
        self._switches = SharedFile(runner.replay.recording.layout.switches)
        self._switches.note()
        self._runs = runner.replay.timeline.marks.get(WHO_RAN, ())
        self._others = Others(runner.replay.presence, self._tell_others)
        self._others_told: list[Client] = []
        self._before = runner.replay.on_progress
        runner.on_ended.append(self._ended)
        runner.replay.on_progress = self._progress

    async def close(self) -> None:
        """Let the pages go, and end what one of them has had run; the session is left to its owner."""
        self._others.close()
        self._runner.on_ended.remove(self._ended)
        self._runner.replay.on_progress = self._before
        for page in self._pages:
            _put(page, None)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def name(self) -> str:
        """The recording's."""
        return self._runner.replay.recording.name

    async def timeline(self) -> Told:
        """The tracks of the whole recording, with every mark as far as a page can hold them."""
        path, known = self._runner.replay.recording.layout.root, self._runner.replay.timeline

        def read() -> Told:
            return page_data(timeline_tracks(Recording.peek(path), known, FULL))

        return await asyncio.to_thread(read)

    def notebook(self) -> list[dict[str, object]]:
        """What was kept in the notebook of this recording.

        :raises RecordingError: it is damaged.
        """
        return [entry_data(entry) for entry in load_notebook(self._runner.replay.recording)]

    def save_notebook(self, content: Document) -> None:
        """Keep what the page has now.

        :raises DocumentError: it is no notebook.
        :raises OSError: it cannot be written.
        """
        save_notebook(self._runner.replay.recording, read_entries(content))

    async def exported(self, form: str) -> tuple[str, str, str]:
        """The notebook as a file: its name, its media type, and what is in it; ``markdown``, or ``page``.

        :raises UsageError: there is no such form.
        :raises RecordingError: the notebook is damaged.
        """
        path, known = self._runner.replay.recording.layout.root, self._runner.replay.timeline
        entries = load_notebook(self._runner.replay.recording)

        def page() -> str:
            return timeline_page(timeline_tracks(Recording.peek(path), known), entries)

        match form:
            case "markdown":
                end = self._runner.replay.timeline.end
                return f"{self.name}-notebook.md", "text/markdown", notebook_markdown(self.name, end, entries)
            case "page":
                return f"{self.name}-notebook.html", "text/html", await asyncio.to_thread(page)
            case _:
                raise UsageError(f"A notebook is exported as markdown or page, not as '{form}'.")

    async def follow(self) -> AsyncGenerator[Told, None]:
        """What happens, from where the cursor is now, until the workbench is closed."""
        page: asyncio.Queue[Told | None] = asyncio.Queue(_MOST_WAITING)
        self._pages.add(page)
        self._others.watch()
        self._others_told = self._others.now
        try:
            yield _clients(self._others_told)
            try:
                yield {"type": "place", **(self._told or await self._look())}
            except RrdbgError as error:
                yield {"type": "error", "text": shown(str(error))}
            while (told := await page.get()) is not None:
                yield told
        finally:
            self._pages.discard(page)

    async def run(self, line: str) -> AsyncGenerator[Told, None]:
        """What ``line`` answers, as it comes; whoever stops listening ends it.

        The last message says how it ended: ``done``, ``interrupted`` or ``error``, and in which ``turn``; the place
        that pages are told then has the same or a later one.
        """
        queue: asyncio.Queue[Told | None] = asyncio.Queue()
        task = asyncio.create_task(self._answer(line, queue))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while (told := await queue.get()) is not None:
                yield told
        finally:
            if not task.done():
                if self._asked is task:
                    self._runner.interrupt()
                else:
                    task.cancel()
                await unbroken(_ended(task))

    async def _answer(self, line: str, queue: asyncio.Queue[Told | None]) -> None:
        try:
            line = allowed(line, self._runner.canonical)
            self._publish({"type": "running", "line": line})
            await self._runner.perform(self._take(line, queue, asyncio.current_task()))
        except Interrupted as error:
            queue.put_nowait({"type": "interrupted", "text": shown(str(error)), "turn": self._turn})
        except RrdbgError as error:
            queue.put_nowait({"type": "error", "text": shown(str(error)), "turn": self._turn})
        else:
            queue.put_nowait({"type": "done", "turn": self._turn})
        finally:
            if self._asked is asyncio.current_task():
                self._asked = None
            queue.put_nowait(None)

    async def _take(self, line: str, queue: asyncio.Queue[Told | None], asked: asyncio.Task[Any] | None) -> None:
        self._asked = asked
        count = 0
        self._runner.replay.catch_up()
        async with aclosing(self._runner.answers(line, structured=True)) as answers:
            async for answer in answers:
                count += 1
                if count > MOST_ANSWERS:
                    raise UsageError(f"There are more than {MOST_ANSWERS:,} answers; ask about a part: from ... to ...")
                queue.put_nowait(_answer(answer))

    def interrupt(self) -> None:
        """End what is run, as Ctrl-C does in the shell."""
        self._runner.interrupt()

    async def ask(self, what: str, text: str) -> Any:
        """What a page wants to know of the place at the cursor: ``parts``, ``symbols``, ``memory``,
        ``instructions`` or ``position``.

        :raises RrdbgError: it cannot be told.
        """
        found: list[Any] = []

        async def look() -> None:
            found.append(await self._looked(what, text))

        await self._runner.look(look())
        return found[0]

    async def _looked(self, what: str, text: str) -> Any:
        match what:
            case "parts":
                return await self._places.parts(text)
            case "symbols":
                return await self._places.symbols(text)
            case "memory":
                return await self._memory(text)
            case "instructions":
                return await self._places.instructions()
            case "position":
                where = await read_position(self._runner.session, text)
                return position(where.icount, where.phase)
            case _:
                raise UsageError(f"There is no '{what}' to be asked for.")

    async def _memory(self, text: str) -> Told:
        address = await read_address(self._runner.session, text)
        debugger = self._runner.debugger
        source = debugger.window if debugger else self._runner.replay
        try:
            data = await source.read_memory(address, _MEMORY)
        except RrdbgError:
            # As far as the page that it is in goes.
            data = await source.read_memory(address, min(_PAGE - address % _PAGE, _MEMORY))
        return {"address": hex(address), "bytes": data.hex()}

    def _ended(self) -> None:
        self._turn += 1
        task = asyncio.create_task(self._show())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _show(self) -> None:
        """Tell all pages where the cursor is, and what is known of the recording by now."""
        self._told = None
        if not self._pages:
            return
        try:
            self._publish({"type": "place", **await self._look()})
        except RrdbgError as error:
            self._publish({"type": "error", "text": shown(str(error)), "turn": self._turn})
        told = {"who": await self._who_ran(), "tracks": known_tracks(self._runner.replay.timeline, FULL)}
        self._publish({"type": "tracks"} | {name: [*map(track_data, tracks)] for name, tracks in told.items()})

    async def _who_ran(self) -> list[Track]:
        """The tracks of who ran, if what is known of that has changed; that of samples is empty beside tasks."""
        recording, timeline = self._runner.replay.recording, self._runner.replay.timeline
        runs, changed = timeline.marks.get(WHO_RAN, ()), self._switches.changed
        if not changed and runs is self._runs:
            return []
        self._runs = runs
        self._switches.note()
        tracks = await asyncio.to_thread(who_ran, recording, timeline, FULL)
        return tracks if tracks[0].name == WHO_RAN else [Track(WHO_RAN, "", TrackKind.RUNS, ()), *tracks]

    async def _look(self) -> Told:
        found: list[Told] = []

        async def look() -> None:
            turn = self._turn
            found.append({"turn": turn, **await self._places.tell()})

        await self._runner.look(look())
        (self._told,) = found
        return self._told

    def _tell_others(self, clients: list[Client]) -> None:
        if clients != self._others_told:
            self._others_told = clients
            self._publish(_clients(clients))

    def _progress(self, progress: Progress) -> None:
        self._before(progress)
        now = time.monotonic()
        if now < self._next_progress:
            return
        self._next_progress = now + _PROGRESS_SECONDS
        left = max(progress.whole - progress.done, 0.0)
        self._publish({"type": "progress", "share": progress.share, "icount": progress.icount, "left": left})

    def _publish(self, told: Told) -> None:
        for page in self._pages:
            _put(page, told)


def _clients(clients: list[Client]) -> Told:
    """Where each of the other sessions is, as the page gets it."""
    listed = [
        {"key": client.key, "name": str(client), "position": position(client.position.icount, client.position.phase)}
        for client in clients
    ]
    return {"type": "clients", "clients": listed}


def _put(page: asyncio.Queue[Told | None], told: Told | None) -> None:
    """Give a page a message; one that has left too many is told to go."""
    if page.full():
        while not page.empty():
            page.get_nowait()
        told = None
    page.put_nowait(told)


async def _ended(task: asyncio.Task[None]) -> None:
    with suppress(asyncio.CancelledError):
        await asyncio.wait((task,))


def _answer(result: Result) -> Told:
    told: Told = {"type": "answer", "text": render(result), **to_plain(result)}
    if isinstance(result, StackSample):
        # A browser's numbers are too short for addresses.
        told["names"] = [shown(frame.function) or f"{frame.address:#x}" for frame in result.frames]
    return told
