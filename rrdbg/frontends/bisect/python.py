"""``--python``: a function of the user's as a predicate, called with the synchronous API on the cursor.

It runs in a thread of its own, since it waits for what the event loop does. What it leaves unfinished at Ctrl-C or when
its time is up is cancelled; a loop of pure Python nobody can end, so the thread does not keep rrdbg from ending.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rrdbg.engine.replay import Replay as Cursor
from rrdbg.errors import LinkError, RrdbgError, UsageError
from rrdbg.frontends.api import AsyncReplay, Replay
from rrdbg.frontends.api.bridge import Bridge
from rrdbg.model.hits.bisection import Judgement, Verdict

_END_SECONDS = 5.0


class Skip(Exception):
    """To be raised by a predicate that can tell nothing at a position: ``raise rrdbg.Skip``."""


class PythonPredicate:
    """Calls ``function``, called ``name`` in messages, for each judgement; at most ``timeout`` seconds."""

    quick: bool = False
    offline: bool = False

    def __init__(self, function: Callable[[Replay], Any], name: str, api: AsyncReplay, timeout: float) -> None:
        self._function = function
        self._name = name
        self._api = api
        self._timeout = timeout

    async def judge(self, replay: Cursor) -> Judgement:
        """Call the function; it holds where the result is true.

        :raises LinkError: it failed.
        """
        position = replay.position
        loop = asyncio.get_running_loop()
        bridge = Bridge(loop, threading.get_ident())
        ended: asyncio.Future[Judgement] = loop.create_future()
        # One that is abandoned may still fail, when nobody asks for it any more.
        ended.add_done_callback(lambda done: done.exception())

        def settle(judgement: Judgement | None, error: BaseException | None) -> None:
            if ended.done():
                return
            if judgement:
                ended.set_result(judgement)
            else:
                ended.set_exception(LinkError(f"{self._name} failed at {position}: {_told(error)}"))

        def work() -> None:
            try:
                outcome: tuple[Judgement | None, BaseException | None] = self._call(Replay(self._api, bridge)), None
            except BaseException as error:  # noqa: BLE001  # whatever the user's function raises ends the bisect
                outcome = None, error
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, *outcome)

        threading.Thread(target=work, name="rrdbg-predicate", daemon=True).start()
        try:
            return await asyncio.wait_for(asyncio.shield(ended), self._timeout)
        except TimeoutError:
            await self._abandon(bridge, ended)
            return Judgement(Verdict.SKIP, f"no answer in {self._timeout:g} s")
        except asyncio.CancelledError:
            await self._abandon(bridge, ended)
            raise

    async def _abandon(self, bridge: Bridge, ended: asyncio.Future[Judgement]) -> None:
        await bridge.stop()
        await asyncio.wait((ended,), timeout=_END_SECONDS)

    def _call(self, replay: Replay) -> Judgement:
        try:
            value = self._function(replay)
        except Skip as reason:
            return Judgement(Verdict.SKIP, str(reason) or "skipped")
        finally:
            replay.close()
        return Judgement(Verdict.BAD if value else Verdict.GOOD, repr(value)[:200])


def load(text: str) -> Callable[[Replay], Any]:
    """The function that ``FILE.py:FUNCTION`` names.

    :raises UsageError: there is no such file or function, or the file fails.
    """
    name, colon, function = text.rpartition(":")
    path = Path(name)
    if not colon or not path.is_file():
        raise UsageError(f"'{text}' names no Python function; write FILE.py:FUNCTION.")
    if path.suffix != ".py":
        raise UsageError(f"{path} is no Python file; its name must end in .py.")
    module = types.ModuleType(f"rrdbg_predicate_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        # The text itself: what was compiled from it may lie beside it, and may have come with a recording.
        exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
    except Exception as error:  # noqa: BLE001  # the user's file may raise anything
        raise UsageError(f"{path} cannot be loaded: {_told(error)}") from None
    found = getattr(module, function, None)
    if not callable(found):
        raise UsageError(f"{path} has no function '{function}'.")
    loaded: Callable[[Replay], Any] = found
    return loaded


def _told(error: BaseException | None) -> str:
    """An error of the user's code in one line, with the place where it was raised."""
    if isinstance(error, RrdbgError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__) if error else []
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
