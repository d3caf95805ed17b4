"""The end of a log that QEMU has just written, put right where QEMU noted our ``quit`` too early.

QEMU 7.2 to 11.1 write a shutdown request at the icount that is in the log so far, without first noting what has run
since (``replay_shutdown_request`` calls no ``replay_save_instructions``). A guest that makes no event runs in slices of
2^26 instructions at ``shift=5``, and one that was recorded for only one slice then seems to end at its beginning: seen
with a riscv64 loop, in 1 of some 50 recordings on a busy host. Nothing that the guest did depends on the request, and
so it may come after those instructions, as it does wherever QEMU notes them in time.
"""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

from rrdbg.store.logformat import SHUTDOWN_CAUSES, Kind
from rrdbg.store.replaylog import LogSummary, summarise

_TAIL_BYTES = 256
_INSTRUCTION = struct.Struct(">xI")
_QUIT = Kind.SHUTDOWN + SHUTDOWN_CAUSES.index("host-qmp-quit")
_EARLY = re.compile(rb"%c((?:\x00[\x00-\xff]{4})+)([\x0a-\x15]?\x27)\Z" % _QUIT)
"""The request, INSTRUCTION events, and what QEMU writes last: the request again by another cause, END."""


def put_quit_last(path: Path, summary: LogSummary) -> LogSummary:
    """Move a ``quit`` that is the first request in the log at ``path`` behind the instructions that follow it.

    ``summary`` is the log's; the summary of what it is now is returned. A log where anything but instructions follows
    is left as it is: something was logged then, and with it all that had run.

    :raises LogError: as :func:`rrdbg.store.replaylog.summarise`.
    """
    asked = summary.shutdown
    if asked is None or asked.cause != "host-qmp-quit" or asked.icount == summary.total:
        return summary
    with path.open("r+b") as file:
        start = max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES)
        file.seek(start)
        tail = file.read()
        for early in filter(None, (_EARLY.match(tail, at) for at, byte in enumerate(tail) if byte == _QUIT)):
            ran, last = early.groups()
            if sum(count for (count,) in _INSTRUCTION.iter_unpack(ran)) != summary.total - asked.icount:
                continue  # a byte of an event before it that looks like one
            file.seek(start + early.start())
            file.write(ran + bytes([_QUIT]) + last)
            file.flush()
            mended = summarise(path)
            if mended.total == summary.total and mended.shutdown and mended.shutdown.icount == summary.total:
                return mended
            file.seek(start)
            file.write(tail)
    return summary
