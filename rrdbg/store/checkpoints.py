"""A fast pass over a log's checkpoints, for those who need to know between which of them something happened.

Most of a log is the same checkpoint over and over. Here a row of equal ones counts as two, so that millions of events a
second are read without numpy or the like.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path

from rrdbg.store.logformat import (
    FIXED_SIZES,
    HEADER_SIZE,
    RUN,
    Damage,
    Kind,
    check_end,
    counts_in_run,
    event_end,
)
from rrdbg.store.replaylog import describe_damage, open_log

Mark = tuple[int, Kind, int | None]
"""icount, kind, and what the clock showed if the kind is CLOCK_VIRTUAL_RT."""

_equal = re.compile(rb"(?s)(.)\1*").finditer
_u32 = struct.Struct(">I").unpack_from
_s64 = struct.Struct(">q").unpack_from


def thinned(path: Path, kinds: Collection[Kind]) -> Iterator[Mark]:
    """The events of ``kinds`` (checkpoints and CLOCK_VIRTUAL_RT) in the log at ``path``, in order.

    Of more than two equal checkpoints in a row some, or all but two, may be left out.

    :raises DamagedLog: (from the iterator, after all that could be read) the log is truncated or corrupt.
    :raises LogError: as :func:`rrdbg.store.replaylog.read_header`.
    """
    wanted = {int(kind): kind for kind in kinds}
    with open_log(path) as (file, version), mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        offset, icount, kind = HEADER_SIZE, 0, 0
        try:
            while offset < len(data):
                kind = data[offset]
                if kind:
                    size = FIXED_SIZES.get(kind)
                    after = offset + size if size else event_end(data, offset, version)
                    if kind in wanted:
                        reading = _s64(data, offset + 1)[0] if kind == Kind.CLOCK_VIRTUAL_RT else None
                        yield icount, wanted[kind], reading
                    offset = after
                    if kind == Kind.END:
                        break
                elif run := RUN(data, offset):
                    yield from _in_run(run[0], icount, wanted)
                    icount += sum(counts_in_run(run[0]))
                    offset = run.end()
                else:
                    icount += _u32(data, offset + 1)[0]
                    offset += 5
            check_end(data, offset, kind)
        except struct.error:
            raise describe_damage(path, Damage.cut(offset), icount) from None
        except Damage as damage:
            raise describe_damage(path, damage, icount) from None


def _in_run(run: bytes, icount: int, wanted: dict[int, Kind]) -> Iterator[Mark]:
    """The events of a :data:`~rrdbg.store.logformat.RUN` that begins at ``icount``: two of a row of equal ones."""
    counts = counts_in_run(run)
    done = 0
    for row in _equal(run[5::6]):
        kind = wanted.get(row[0][0])
        if kind is None:
            continue
        for place in range(row.start(), min(row.start() + 2, row.end())):
            icount += sum(counts[done : place + 1])
            done = place + 1
            yield icount, kind, None
