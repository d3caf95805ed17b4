"""The interactive shell: prompt_toolkit around :class:`rrdbg.frontends.repl.shell.Shell`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator

from rrdbg.errors import RrdbgError
from rrdbg.frontends.repl.blocks import Block
from rrdbg.frontends.repl.prompt import Prompt
from rrdbg.frontends.repl.routing import repeated
from rrdbg.frontends.repl.shell import Shell

__all__ = ["interact"]

_CHUNK = 1 << 16


async def interact(shell: Shell, *, terminal: bool) -> int:
    """Read lines until the user quits; errors are shown and the shell goes on. The exit status.

    Without a ``terminal`` they are read from standard input as they are, and the status is that of the first error.
    """
    status = 0
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
            status = status or (0 if terminal else error.exit_code)
        if shell.session.over:
            break
    return status


async def _piped_lines() -> AsyncIterator[str]:
    """Lines of standard input, waited for in the event loop, so that signals get through."""
    rest = b""
    while data := await _read(sys.stdin.fileno()):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


async def _read(descriptor: int) -> bytes:
    ready = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:
        return os.read(descriptor, _CHUNK)  # a file, which is always ready
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, _CHUNK)
