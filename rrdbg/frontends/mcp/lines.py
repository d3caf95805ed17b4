"""Standard input, line by line, on the event loop.

The SDK reads it in a thread, which a signal cannot end: whoever is told to end would wait for the client's next line.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator

MOST_LINE = 1 << 20
"""Bytes of a message: a question has some hundred."""


async def standard_input() -> AsyncIterator[str] | None:
    """The lines of standard input; None where that is a file, which cannot be waited for, and need not be.

    Programs that are started from now on do not have it: they could read what is meant for us.
    """
    if stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode):
        return None
    ours = os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    reader = asyncio.StreamReader(limit=MOST_LINE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), ours
    )
    return _lines(reader, transport)


async def _lines(reader: asyncio.StreamReader, transport: asyncio.ReadTransport) -> AsyncIterator[str]:
    try:
        while line := await reader.readline():
            yield line.decode(errors="replace")
    except ValueError:
        print(f"rrdbg: a message of more than {MOST_LINE:,} bytes came; the connection is closed.", file=sys.stderr)
    finally:
        transport.close()
