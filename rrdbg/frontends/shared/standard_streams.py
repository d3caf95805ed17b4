"""Standard input and output as a protocol's, on the event loop.

A read in a thread cannot be ended by a signal: whoever is told to end would wait for the client's next message.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from asyncio.streams import FlowControlMixin
from typing import BinaryIO


async def standard_input(longest: int) -> asyncio.StreamReader | None:
    """Standard input, with lines of at most ``longest`` bytes; None where it is a file, which needs no waiting.

    Programs that are started from now on do not have it: they could read what is meant for us.
    """
    if stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode):
        return None
    ours = _taken(sys.stdin.fileno(), os.open(os.devnull, os.O_RDONLY), "rb")
    reader = asyncio.StreamReader(limit=longest)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, ours)
    return reader


async def standard_output() -> asyncio.StreamWriter:
    """Standard output; what else is printed from now on, here or by a program, goes to standard error.

    :raises ValueError: it is a file.
    """
    sys.stdout.flush()
    ours = _taken(sys.stdout.fileno(), os.dup(sys.stderr.fileno()), "wb")
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(FlowControlMixin, ours)
    return asyncio.StreamWriter(transport, protocol, None, loop)


def _taken(descriptor: int, instead: int, mode: str) -> BinaryIO:
    """The file at ``descriptor``, where ``instead`` is from now on."""
    ours = os.fdopen(os.dup(descriptor), mode, buffering=0)
    os.dup2(instead, descriptor)
    os.close(instead)
    return ours  # type: ignore[return-value]  # a raw file, as pipes on the loop take it
