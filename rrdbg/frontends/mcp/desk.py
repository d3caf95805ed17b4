"""The recordings that a client may ask for: opened when they are, closed when nobody asks any more.

One question at a time is worked on in a recording. Each is a task of its own, so that a client that takes its question
back ends it once and in order, however often the SDK cancels whoever waits for the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rrdbg.engine.machines.progress import ProgressListener
from rrdbg.errors import RrdbgError, UsageError
from rrdbg.frontends.api import AsyncReplay
from rrdbg.store.library import Library

T = TypeVar("T")

IDLE_SECONDS = 60.0
"""How long a recording stays open that nobody asks for: others may want to work in it."""

_OPEN = 2
"""Recordings that are open at once at most: each has QEMUs and a GDB."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What recordings are opened with: the GDB to use, a file of symbols for those that are named, processes."""

    symbols: Path | None = None
    gdb: str | None = "gdb"
    jobs: int | None = None


@dataclass(slots=True)
class _Opened:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    replay: AsyncReplay | None = None
    closing: asyncio.TimerHandle | None = None


class Desk:
    """The recordings in ``library``, and those that were ``named`` to the server; :meth:`close` ends all of them."""

    def __init__(self, library: Library, named: Mapping[str, Path], tools: Tools) -> None:
        self._library = library
        self._named = named
        self._tools = tools
        self._opened: dict[Path, _Opened] = {}
        self._tasks: set[asyncio.Task[object]] = set()

    def names(self) -> list[str]:
        """The recordings that can be asked for."""
        return [*self._named, *(path.name for path in self._library.recordings() if path.name not in self._named)]

    def path(self, name: str) -> Path:
        """The folder of the recording ``name``, or (empty) of the one that is meant where none is named.

        :raises UsageError: there is none of that name. Paths are none: a client opens what the user keeps here.
        :raises RecordingError: none is named, and there is none.
        """
        if not name:
            return next(iter(self._named.values())) if self._named else self._library.latest()
        if name not in self.names():
            raise UsageError(f"There is no recording {name!r} here; 'describe' without a name lists them.")
        return self._named.get(name, self._library.root / name)

    async def ask(self, name: str, question: Callable[[AsyncReplay], Awaitable[T]], on_progress: ProgressListener) -> T:
        """What ``question`` gives for the recording ``name``; whoever is cancelled here cancels it.

        :raises RrdbgError: the recording cannot be used, or whatever ``question`` raises.
        """
        path = self.path(name).resolve()
        task = asyncio.create_task(self._answer(path, question, on_progress))
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            raise

    async def close(self) -> None:
        """End all that is going on, and let the recordings go."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for opened in self._opened.values():
            await self._let_go(opened)

    async def _answer(
        self, path: Path, question: Callable[[AsyncReplay], Awaitable[T]], on_progress: ProgressListener
    ) -> T:
        opened = self._opened.setdefault(path, _Opened())
        async with opened.turn:
            if opened.closing:
                opened.closing.cancel()
            try:
                if opened.replay is None:
                    await self._make_room()
                    symbols = (
                        self._tools.symbols if path in [named.resolve() for named in self._named.values()] else None
                    )
                    opened.replay = await AsyncReplay.open(
                        path, symbols=symbols, gdb=self._tools.gdb, jobs=self._tools.jobs, client="mcp"
                    )
                opened.replay.on_progress = on_progress
                return await question(opened.replay)
            finally:
                if opened.replay:
                    loop = asyncio.get_running_loop()
                    opened.closing = loop.call_later(IDLE_SECONDS, self._close_later, opened)

    async def _make_room(self) -> None:
        """Close recordings that nobody works in, so that one more may be opened."""
        idle = [known for known in self._opened.values() if known.replay and not known.turn.locked()]
        for known in idle[: len([known for known in self._opened.values() if known.replay]) + 1 - _OPEN]:
            async with known.turn:
                await self._let_go(known)

    def _close_later(self, opened: _Opened) -> None:
        task = asyncio.create_task(self._close_idle(opened))
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    async def _close_idle(self, opened: _Opened) -> None:
        async with opened.turn:
            await self._let_go(opened)

    async def _let_go(self, opened: _Opened) -> None:
        if opened.closing:
            opened.closing.cancel()
        replay, opened.replay = opened.replay, None
        if replay:
            await replay.close()

    def _forget(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, RrdbgError):
            # Whoever asked is told; where he has gone, nobody is.
            task.get_loop().call_exception_handler({"message": "a question failed", "exception": error, "task": task})
