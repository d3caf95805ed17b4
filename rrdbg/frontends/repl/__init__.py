"""The interactive shell: prompt_toolkit around :class:`rrdbg.frontends.shell.Shell`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

from rrdbg.errors import RrdbgError
from rrdbg.frontends.blocks import Block
from rrdbg.frontends.dispatch import repeated
from rrdbg.frontends.repl.prompt import Prompt
from rrdbg.frontends.shell import Shell

__all__ = ["interact"]


async def interact(shell: Shell, *, terminal: bool) -> None:
    """Read lines until the user quits; errors are shown and the shell goes on.

    Without a ``terminal`` they are read from standard input as they are.
    """
    block = Block()
    lines = Prompt(shell, block).lines() if terminal else _piped_lines()
    previous = ""
    async for line in lines:
        chosen = line if line.strip() or block.begun else previous
        whole = block.feed(chosen)
        if whole is None:
            continue
        previous = repeated(whole, shell.canonical) if whole.strip() else ""
        try:
            await shell.run(whole)
        except RrdbgError as error:
            shell.show_error(error)
        if shell.session.over:
            return


async def _piped_lines() -> AsyncIterator[str]:
    for line in sys.stdin:
        yield line.rstrip("\n")
