"""Values that rrdbg's own processes send each other through pipes: each pickled, behind its length in four bytes.

A pickle can run any code when it is read; what is read here comes from a process that we have started, or that has
started us.
"""

from __future__ import annotations

import asyncio
import pickle
import struct

_LENGTH = struct.Struct(">I")


def to_frame(value: object) -> bytes:
    """``value`` as it is sent."""
    content = pickle.dumps(value)
    return _LENGTH.pack(len(content)) + content


async def read_frame(reader: asyncio.StreamReader) -> object:
    """The next value.

    :raises EOFError: the other side has gone.
    """
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return pickle.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        raise EOFError from None
