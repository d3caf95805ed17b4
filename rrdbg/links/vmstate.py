"""The machine's state that ``savevm`` has put into a qcow2 image, as the migration stream that it is.

qcow2's header names a table of snapshots, each with an L1 table of its own; the state lies behind the disk's own size,
in clusters that this table leads to (QEMU's docs/interop/qcow2.txt).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from rrdbg.errors import ImageError

_MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_SNAPSHOT = struct.Struct(">QIHHIIQII")
_OFFSET = 0x00FF_FFFF_FFFF_FE00
_MOST_BYTES = 1 << 30
_MOST_SNAPSHOTS = 1 << 16
_DEBUG = b"debug\0"
_PAUSED = b"paused\0"


def read_vmstate(image: Path, tag: str) -> bytes:
    """The state that ``image`` holds as its snapshot ``tag``; if there are several of that name, the last one.

    :raises ImageError: there is none, or the image is damaged.
    """
    file = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _read(file, tag.encode())
    except (struct.error, IndexError, OSError) as error:
        raise ImageError(f"{image} is damaged: {error}") from None
    except LookupError:
        raise ImageError(f"{image} holds no snapshot {tag!r}.") from None
    finally:
        os.close(file)


def _read(file: int, tag: bytes) -> bytes:
    magic, _, _, _, bits, size, _, _, _, _, _, count, offset = _HEADER.unpack(os.pread(file, _HEADER.size, 0))
    if magic != _MAGIC or not 9 <= bits <= 21 or count > _MOST_SNAPSHOTS:
        raise OSError("it is no qcow2 image")
    length, table_at, entries = _find(file, tag, count, offset)
    cluster = 1 << bits
    in_table = cluster // 8
    (*table,) = struct.unpack(f">{entries}Q", os.pread(file, 8 * entries, table_at))
    # Behind the disk, at the next place that has an L2 table of its own.
    first = -(-size // (cluster * in_table)) * in_table
    parts = []
    tables: dict[int, tuple[int, ...]] = {}
    for number in range(first, first + -(-length // cluster)):
        upper = table[number // in_table] & _OFFSET
        if upper and upper not in tables:
            tables[upper] = struct.unpack(f">{in_table}Q", os.pread(file, cluster, upper))
        at = tables[upper][number % in_table] & _OFFSET if upper else 0
        parts.append(os.pread(file, cluster, at) if at else bytes(cluster))
    return b"".join(parts)[:length]


def _find(file: int, tag: bytes, count: int, offset: int) -> tuple[int, int, int]:
    """The length of the state of ``tag``, and where its L1 table is and how many entries it has."""
    found = None
    for _ in range(count):
        table_at, entries, id_length, name_length, _, _, _, small, extra = _SNAPSHOT.unpack(
            os.pread(file, _SNAPSHOT.size, offset)
        )
        names_at = offset + _SNAPSHOT.size + extra
        if os.pread(file, name_length, names_at + id_length) == tag:
            large = os.pread(file, 8, offset + _SNAPSHOT.size) if extra >= 8 else b""
            length = int.from_bytes(large) or small
            if length > _MOST_BYTES:
                raise OSError(f"its snapshot has a state of {length:,} bytes")
            found = length, table_at, entries
        offset = (names_at + id_length + name_length + 7) & ~7
    if found is None:
        raise LookupError
    return found


def as_paused(state: bytes) -> bytes:
    """``state`` as that of a guest that was stopped by nobody in particular.

    QEMU saves why the guest was stopped when it was saved. One that waits for a state takes up neither a debugger's
    breakpoint nor a single step (``debug``): it aborts. The section "globalstate" has the length of the word, its end
    included, and then a field for the word (migration/global_state.c).
    """
    name = b"\x0bglobalstate"
    at = state.find(name) + len(name) + 8  # behind the instance and the version
    if state.count(name) != 1 or state[at + 4 : at + 4 + len(_DEBUG)] != _DEBUG:
        return state
    return state[:at] + len(_PAUSED).to_bytes(4) + _PAUSED + state[at + 4 + len(_PAUSED) :]
