"""The synchronous API: :class:`AsyncReplay`'s methods, each made to wait for its end.

No method's logic is written here: :func:`_blocking` and :func:`_streaming` turn the asynchronous ones, with their
signatures and docstrings, into these.
"""

from __future__ import annotations

import atexit
import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakSet

from rrdbg.engine.machines.progress import ProgressListener
from rrdbg.frontends.api.asynchronous import AsyncReplay
from rrdbg.frontends.api.bridge import Bridge, OwnLoop
from rrdbg.frontends.api.drgn_program import DrgnProgram, told_of_kernel
from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.position import Position

if TYPE_CHECKING:
    import drgn

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[AsyncReplay, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Replay, P], T]:
    """``method`` as one that returns when it has ended."""

    @functools.wraps(method)
    def wait(self: Replay, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._bridge.run(method(self._beneath, *args, **kwargs))

    return wait


def _streaming(
    method: Callable[Concatenate[AsyncReplay, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[Replay, P], Generator[T, None, None]]:
    """``method`` as an iterator, which waits for one item after another; ``close()`` or losing it ends the work."""

    @functools.wraps(method)
    def stream(self: Replay, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        return self._stream(method(self._beneath, *args, **kwargs))

    return stream


class Replay:
    """An opened recording with a cursor; :func:`rrdbg.open` makes it, and its ``with`` block ends every process of it.

    It may be used from any thread, by one at a time.
    """

    def __init__(self, beneath: AsyncReplay, bridge: Bridge, loop: OwnLoop | None = None) -> None:
        self._beneath = beneath
        self._bridge = bridge
        self._loop = loop
        self._streams: WeakSet[Generator[Any, None, None]] = WeakSet()
        if loop:
            # Whoever forgets to close it leaves no QEMU behind, and no thread that Python's end would wait for.
            atexit.register(self.close)

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every QEMU and GDB, and let the recording go; again, it does nothing."""
        for stream in list(self._streams):
            with suppress(ValueError):  # it is being asked just now, in a thread that has been left by Ctrl-C
                stream.close()
        if self._loop is None:
            return
        loop, self._loop = self._loop, None
        try:
            self._bridge.run(self._beneath.close())
        finally:
            loop.close()
            atexit.unregister(self.close)

    @property
    def beneath(self) -> AsyncReplay:
        """The asynchronous API on the same cursor; for use on its own event loop only."""
        return self._beneath

    @property
    def position(self) -> Position:
        """Where the cursor is."""
        return self._beneath.position

    @property
    def end(self) -> Position:
        """The last position of the recording."""
        return self._beneath.end

    @property
    def bookmarks(self) -> Mapping[str, Bookmark]:
        """The places that have names."""

        async def known() -> Mapping[str, Bookmark]:
            return self._beneath.bookmarks

        return self._bridge.run(known())

    @property
    def on_progress(self) -> ProgressListener:
        """Called with a :class:`~rrdbg.engine.machines.progress.Progress` now and then, in another thread."""
        return self._beneath.on_progress

    @on_progress.setter
    def on_progress(self, listener: ProgressListener) -> None:
        self._beneath.on_progress = listener

    def drgn(self) -> drgn.Program:
        """drgn's program of a Linux guest, always at the cursor: after a movement it reads the memory there.

        Types and variables need a vmlinux with debug information, given as ``symbols``; without one there are the
        kernel's own names. The same program comes each time.

        :raises UsageError: there is no drgn (0.1.0 or newer) or no Linux, or ``symbols`` are of another build.
        :raises LinkError: QEMU's memory cannot be read here.
        """
        beneath = self._beneath
        if beneath.drgn_program is None:
            told = self._bridge.run(told_of_kernel(beneath.session, beneath.symbols))
            beneath.drgn_program = DrgnProgram(beneath.cursor, told, self._bridge.run)
        # A predicate of a bisect has a bridge of its own for each position.
        beneath.drgn_program.wait = self._bridge.run
        return beneath.drgn_program.program

    seek = _blocking(AsyncReplay.seek)
    step = _blocking(AsyncReplay.step)
    reverse_step = _blocking(AsyncReplay.reverse_step)
    cont = _blocking(AsyncReplay.cont)
    reverse_continue = _blocking(AsyncReplay.reverse_continue)
    last = _blocking(AsyncReplay.last)
    first = _blocking(AsyncReplay.first)
    bisect = _blocking(AsyncReplay.bisect)
    bookmark = _blocking(AsyncReplay.bookmark)
    break_at = _blocking(AsyncReplay.break_at)
    watch = _blocking(AsyncReplay.watch)
    keep_to_task = _blocking(AsyncReplay.keep_to_task)
    delete = _blocking(AsyncReplay.delete)
    read_memory = _blocking(AsyncReplay.read_memory)
    registers = _blocking(AsyncReplay.registers)
    disassemble = _blocking(AsyncReplay.disassemble)
    eval = _blocking(AsyncReplay.eval)
    frame = _blocking(AsyncReplay.frame)
    gdb = _blocking(AsyncReplay.gdb)
    run = _blocking(AsyncReplay.run)
    events = _streaming(AsyncReplay.events)
    console = _streaming(AsyncReplay.console)
    writes = _streaming(AsyncReplay.writes)
    reads = _streaming(AsyncReplay.reads)
    hits = _streaming(AsyncReplay.hits)
    calls = _streaming(AsyncReplay.calls)
    origin = _streaming(AsyncReplay.origin)

    def _stream(self, items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        stream = self._items(items)
        self._streams.add(stream)
        return stream

    def _items(self, items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        over = object()

        async def following() -> object:
            return await anext(items, over)

        try:
            while (item := self._bridge.run(following())) is not over:
                yield item  # type: ignore[misc]  # only the mark at the end is no T
        finally:
            self._bridge.run(items.aclose())
