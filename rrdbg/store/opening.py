"""The one place where files of a recording are opened: regular files that lie inside it, and nothing else.

A recording may come from elsewhere, with a link to a file of the host's in it, a FIFO that nobody writes to, or a
device. So a path is followed folder by folder, by descriptors, and no link in it is; what is there is looked at before
it is opened, and opened by the descriptor that was looked at, so that nothing can be exchanged in between.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath

from rrdbg.errors import RecordingError

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def open_inside(root: Path, name: str) -> BufferedReader:
    """Open the file ``name`` of the recording at ``root`` to be read; ``root`` itself may be reached by a link.

    :raises FileNotFoundError: there is none.
    :raises RecordingError: it is no regular file, or lies behind a link.
    :raises OSError: it cannot be read.
    """
    with _found(root, name) as found:
        # By the descriptor that was looked at; a second look at the name might find something else.
        return open(f"/proc/self/fd/{found}", "rb")  # noqa: PTH123


def open_regular(path: Path) -> BufferedReader:
    """As :func:`open_inside`, for a file in the recording's own folder, or one that the user has named himself.

    :raises FileNotFoundError: there is none.
    :raises RecordingError: it is a link, or no regular file.
    :raises OSError: it cannot be read.
    """
    return open_inside(path.parent, path.name)


def read_inside(root: Path, name: str, most: int) -> bytes:
    """What is in a file of at most ``most`` bytes.

    :raises RecordingError: it is larger, or as :func:`open_inside`.
    :raises OSError: as :func:`open_inside`.
    """
    with open_inside(root, name) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(size) if size <= most else b""
    if size > most:
        raise RecordingError(f"{root / name} has more than {most:,} bytes, which no recording's file of that name has.")
    return data


def read_regular(path: Path, most: int) -> bytes:
    """As :func:`read_inside`, for a file in the recording's own folder.

    :raises RecordingError: it is larger, or as :func:`open_inside`.
    :raises OSError: as :func:`open_inside`.
    """
    return read_inside(path.parent, path.name, most)


def status_inside(root: Path, name: str) -> os.stat_result:
    """What the file system says about a file that :func:`open_inside` would open.

    :raises RecordingError: as :func:`open_inside`.
    :raises OSError: as :func:`open_inside`.
    """
    with _found(root, name) as found:
        return os.fstat(found)


def is_inside(root: Path, name: str) -> bool:
    """Whether :func:`open_inside` would find a file."""
    try:
        status_inside(root, name)
    except (OSError, RecordingError):
        return False
    return True


@contextmanager
def _found(root: Path, name: str) -> Iterator[int]:
    """A descriptor that stands for a regular file, without opening it."""
    parts = PurePosixPath(name).parts
    if not parts or any(part in ("/", "..") for part in parts):
        raise RecordingError(f"{name!r} is no file inside of the recording {root}.")
    place = root
    held = os.open(root, _DIRECTORY)
    try:
        for part in parts:
            place /= part
            inner = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=held)
            os.close(held)
            held = inner
            _check(place, os.fstat(held).st_mode, last=place == root / name)
        yield held
    finally:
        os.close(held)


def _check(place: Path, mode: int, *, last: bool) -> None:
    if stat.S_ISLNK(mode):
        raise RecordingError(f"{place} is a link, which no recording has; it is not followed.")
    if not (stat.S_ISREG(mode) if last else stat.S_ISDIR(mode)):
        raise RecordingError(f"{place} is no {'regular file' if last else 'folder'}; it is not opened.")
