"""The end of a log that QEMU has just written, put right where QEMU noted too early that the guest was to end.

QEMU 7.2 to 11.1 write a shutdown request at the icount that is in the log so far, without first noting what has run
since (``replay_shutdown_request`` calls no ``replay_save_instructions``). A guest that makes no event runs in slices of
2^26 instructions at ``shift=5``, and one that was recorded for only one slice then seems to end at its beginning: seen
with a riscv64 loop and our ``quit``, in 1 of some 50 recordings on a busy host, and with QEMU 10.0 always where a
riscv64 program powers off before its first event (7.2 and 11.1 note that in time). Nothing that the guest did depends
on the request, and so it may come after those instructions, as it does wherever QEMU notes them in time.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from rrdbg.store.logformat import SHUTDOWN_CAUSES, Kind
from rrdbg.store.replaylog import LogSummary, summarise

_TAIL_BYTES = 256
_REQUESTS = {
    cause: bytes([Kind.SHUTDOWN + SHUTDOWN_CAUSES.index(cause)]) for cause in ("host-qmp-quit", "guest-shutdown")
}
_RAN = rb"\x00[\x00-\xff]{4}"
_PLAIN = rb"[\x0a-\x15\x1e-\x26]"
"""Events without a payload: requests, and checkpoints."""
_EARLY = re.compile(rb"(?P<ran>(?:%b)+)(?P<rest>(?:%b|%b)*\x27)\Z" % (_RAN, _RAN, _PLAIN))
"""What follows the request: INSTRUCTION events, then nothing but those and events without a payload, and END."""
_EVENT = re.compile(rb"%b|[\x00-\xff]" % _RAN)


def put_end_right(path: Path, summary: LogSummary) -> LogSummary:
    """Move the first request to end in the log at ``path`` behind the instructions that follow it at once.

    ``summary`` is the log's; the summary of what it is now is returned. Only our ``quit`` and the guest's power-off are
    moved, and not where events with more in them follow: something was logged then, and with it all that had run.

    :raises LogError: as :func:`rrdbg.store.replaylog.summarise`.
    """
    asked = summary.shutdown
    if asked is None or asked.cause not in _REQUESTS or asked.icount == summary.total:
        return summary
    request = _REQUESTS[asked.cause]
    with path.open("r+b") as file:
        start = max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES)
        file.seek(start)
        tail = file.read()
        for at in range(len(tail)):
            early = _EARLY.match(tail, at + 1) if tail[at : at + 1] == request else None
            if early is None or _instructions(tail[at + 1 :]) != summary.total - asked.icount:
                continue  # a byte of an event before it that looks like one
            file.seek(start + at)
            file.write(early["ran"] + request + early["rest"])
            file.flush()
            mended = summarise(path)
            end = asked.icount + _instructions(early["ran"])
            if mended.total == summary.total and mended.shutdown and mended.shutdown.icount == end:
                return mended
            file.seek(start)
            file.write(tail)
    return summary


def _instructions(events: bytes) -> int:
    """How many ``events``, of which no other has a payload, are of."""
    return sum(int.from_bytes(event[1:]) for event in _EVENT.findall(events) if len(event) > 1)
