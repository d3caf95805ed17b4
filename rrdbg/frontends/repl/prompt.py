"""Reading lines at a terminal, with history, completion and a toolbar."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.output import ColorDepth, Output

from rrdbg.errors import LogError
from rrdbg.frontends.repl.blocks import Block
from rrdbg.frontends.repl.completion import CommandCompleter
from rrdbg.frontends.repl.shell import Shell
from rrdbg.frontends.repl.toolbar import toolbar
from rrdbg.store.files import state_directory

_log = logging.getLogger(__name__)


class Prompt:
    """Asks for lines for ``shell``; while ``block`` has begun they belong to one command.

    ``keys`` and ``screen`` stand in for the terminal in tests.
    """

    def __init__(
        self,
        shell: Shell,
        block: Block,
        *,
        keys: Input | None = None,
        screen: Output | None = None,
    ) -> None:
        self._shell = shell
        self._block = block
        self._session: PromptSession[str] = PromptSession(
            history=history(),
            auto_suggest=AutoSuggestFromHistory(),
            completer=CommandCompleter(shell),
            complete_while_typing=False,
            enable_suspend=True,
            bottom_toolbar=lambda: toolbar(shell.session, self._session.output.get_size().columns),
            color_depth=ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None,
            input=keys,
            output=screen,
        )

    async def lines(self) -> AsyncIterator[str]:
        """Lines, until the end of the input."""
        learning = asyncio.create_task(self._learn_time())
        # A page of this session may have gone elsewhere meanwhile.
        redraw = self._session.app.invalidate
        self._shell.runner.on_ended.append(redraw)
        try:
            async for line in self._lines():
                yield line
        finally:
            self._shell.runner.on_ended.remove(redraw)
            learning.cancel()
            await asyncio.wait((learning,))

    async def _lines(self) -> AsyncIterator[str]:
        while True:
            try:
                line = await self._session.prompt_async(self._text, handle_sigint=False)
            except KeyboardInterrupt:
                self._block.drop()
                continue
            except EOFError:
                return
            yield line

    def _text(self) -> str:
        if self._block.begun:
            return ">"
        replay = self._shell.replay
        end = replay.timeline.end
        share = 100 if replay.position == end else min(round(replay.position.percent(end)), 99)
        what_if = "what-if from " if self._shell.debugger and self._shell.debugger.in_what_if else ""
        return f"{what_if}{share}% {replay.position}> "

    async def _learn_time(self) -> None:
        """Read the guest's clock, for the toolbar."""
        try:
            await self._shell.session.clock()
        except LogError as error:
            _log.debug("The guest's time is not known: %s", error)


def history() -> History:
    """The lines of earlier sessions, kept in the XDG state directory if that can be written."""
    state = state_directory()
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(state / "history"))
