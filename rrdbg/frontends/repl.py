"""The interactive shell: prompt_toolkit around :class:`Shell`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from rrdbg.commands.help import COMMANDS
from rrdbg.errors import LinkError, RrdbgError
from rrdbg.frontends.shell import Shell

_THINKING_SECONDS = 3.0
"""After so long without a line the user is taken to think, and the machine to be free."""

_log = logging.getLogger(__name__)


async def interact(shell: Shell) -> None:
    """Read lines until the user quits; errors are shown and the shell goes on."""
    lines = _terminal_lines(shell) if sys.stdin.isatty() and sys.stdout.isatty() else _piped_lines()
    previous = ""
    async for line in lines:
        chosen = line if line.strip() else previous
        previous = chosen if _repeats(chosen) else ""
        try:
            await shell.run(chosen)
        except RrdbgError as error:
            shell.show_error(error)
        if shell.session.over:
            return


async def _terminal_lines(shell: Shell) -> AsyncIterator[str]:
    names = [command.name for command in COMMANDS.commands]
    prompt: PromptSession[str] = PromptSession(
        history=_history(),
        auto_suggest=AutoSuggestFromHistory(),
        completer=WordCompleter(names, sentence=True),
        complete_while_typing=False,
    )
    while True:
        replay = shell.session.replay
        share = int(replay.position.percent(replay.timeline.end))
        proving = asyncio.create_task(_prove_snapshots(shell))
        try:
            line = await prompt.prompt_async(f"{share}% {replay.position}> ", handle_sigint=False)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        finally:
            proving.cancel()
            await asyncio.wait((proving,))
        yield line


async def _prove_snapshots(shell: Shell) -> None:
    """Use the time in which the user thinks, once he does, to prove what was laid on the way."""
    await asyncio.sleep(_THINKING_SECONDS)
    try:
        while await shell.session.replay.prove_next():
            pass
    except LinkError as error:
        _log.debug("Snapshots cannot be proved: %s", error)


async def _piped_lines() -> AsyncIterator[str]:
    for line in sys.stdin:
        yield line.rstrip("\n")


def _repeats(line: str) -> bool:
    try:
        return COMMANDS.match(line)[0].repeats
    except RrdbgError:
        return False


def _history() -> History:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "rrdbg"
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(state / "history"))
