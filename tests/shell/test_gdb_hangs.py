"""A GDB that hangs, for whatever reason, is ended with one sentence, and the shell goes on."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.links import gdb_watch
from tests.shell.conftest import Opened, User

GENEROUS_SECONDS = 120


def debugger_of(user: User) -> Debugger:
    assert user.shell.debugger
    return user.shell.debugger


def freeze(debugger: Debugger) -> None:
    """Stop its GDB by a signal."""
    os.kill(debugger._gdb._process.pid, signal.SIGSTOP)


async def refused(user: User, line: str) -> str:
    """What is said of ``line`` by a shell that goes on without GDB."""
    async with asyncio.timeout(GENEROUS_SECONDS):
        said = await user.refused(line)
    assert user.noted.errors.count("GDB is gone, and its breakpoints with it; rrdbg's own commands go on without "
                                   "symbols.") == 1  # fmt: skip
    assert user.shell.debugger is None
    assert str(user.position) in await user("when")
    await user("seek 10%")
    return said


async def test_a_gdb_that_was_stopped_is_ended(opened: Opened, heapbug: Path) -> None:
    async with opened(heapbug, at="50%") as user:
        pid = debugger_of(user)._gdb._process.pid
        freeze(debugger_of(user))
        assert await refused(user, "print 6 * 7") == (
            f'GDB (pid {pid}) was stopped by a signal, such as SIGSTOP, while it ran "print 6 * 7", and so was ended.'
        )


async def test_one_that_is_stopped_while_the_guest_moves_is_ended(opened: Opened, heapbug: Path) -> None:
    """The movement ends, and nobody reads its answer."""
    async with opened(heapbug, at="50%") as user:
        debugger = debugger_of(user)
        stub = debugger._server.stub
        run: Callable[[], Awaitable[bytes]] = stub._forward_run

        async def frozen() -> bytes:
            freeze(debugger)
            return await run()

        stub._forward_run = frozen  # type: ignore[method-assign]
        said = await refused(user, "continue")
        assert 'was stopped by a signal, such as SIGSTOP, while it ran "continue", and so was ended.' in said


async def test_one_that_waits_for_an_answer_for_ever_is_ended(
    opened: Opened, heapbug: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our server believes that it has answered, and so does nothing."""
    async with opened(heapbug, at="50%") as user:

        async def lost() -> None:
            monkeypatch.setattr(gdb_watch, "ANSWER_SECONDS", 3 * gdb_watch.LOOK_SECONDS)

        debugger_of(user)._server.stub._forward_run = lost  # type: ignore[method-assign,assignment]
        said = await refused(user, "continue")
        assert re.fullmatch(
            r'GDB gave no answer to "continue", and asked for nothing, for \d+ s, and so was ended\.', said
        )


async def test_one_whose_server_works_for_ever_is_ended(
    opened: Opened, heapbug: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so is what the server was at: the cursor stands where it was, and moves again."""
    async with opened(heapbug, at="50%") as user:
        replay, here = user.shell.replay, user.position
        ended = asyncio.Event()

        async def endless() -> bytes:
            monkeypatch.setattr(gdb_watch, "WORK_SECONDS", 3 * gdb_watch.LOOK_SECONDS)
            try:
                async with replay.still():
                    await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

        debugger_of(user)._server.stub._forward_run = endless  # type: ignore[method-assign]
        async with asyncio.timeout(GENEROUS_SECONDS):
            said = await user.refused("continue")
        assert said == (
            'rrdbg\'s server has got no further with "continue" for 2 s, and GDB, which waits for it, was ended.'
        )
        assert ended.is_set()
        assert user.position == here
        await user("reverse-stepi")
        assert user.position < here
