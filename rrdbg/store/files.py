"""Writing files so that a crash leaves the old content or the new, and checking what they hold.

That is a crash of rrdbg, of QEMU, or a kill. After one of the whole machine it is for the file system to say what is
there; what a recording holds has checksums, and is proved before it is used.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rrdbg.store.opening import open_inside

_FALLOC_FL_KEEP_SIZE, _FALLOC_FL_PUNCH_HOLE = 1, 2
_fallocate = ctypes.CDLL(None).fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def state_directory() -> Path:
    """The user's directory for what rrdbg keeps from one session to the next (XDG), which may not be there yet."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "rrdbg"


def write_atomically(path: Path, content: bytes, *, private: bool = True) -> None:
    """Replace ``path`` by ``content``; whoever reads it at any moment gets the old or the new, whole.

    A ``private`` one is for this user alone, whatever the umask is.

    :raises OSError: the disk is full, or the directory not writable; the old content is then untouched.
    """
    with replacing(path, private=private) as file:
        file.write(content)


def punch(file: int, offset: int, length: int) -> None:
    """Make a hole in ``file``, of bytes, where the file system can; elsewhere the room is not given back."""
    _fallocate(file, _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE, offset, length)


@contextmanager
def replacing(path: Path, *, private: bool = True) -> Iterator[BinaryIO]:
    """A file to write what replaces ``path`` at the end, if no error comes before; ``private`` as above.

    :raises OSError: the disk is full, or the directory not writable; the old content is then untouched.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            if not private:
                os.fchmod(handle, _as_others_are())
            # Not waited for: a busy disk took up to 33 s for 4 kB, and all else stood still, Ctrl-C too.
            yield file
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _as_others_are() -> int:
    """The mode that the umask gives a new file; ``mkstemp`` gives its own to one user alone."""
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask


def checksum(path: Path) -> str:
    """BLAKE2b-256 of a file, in hex; about 1 GB/s.

    :raises OSError: the file cannot be read.
    :raises RecordingError: it is a link, or no regular file.
    """
    return checksum_inside(path.parent, path.name)


def checksum_inside(root: Path, name: str, size: int | None = None) -> str:
    """The same of the file ``name`` of the recording at ``root``, or of its first ``size`` bytes.

    :raises OSError: the file cannot be read.
    :raises RecordingError: it is no regular file inside of the recording.
    """
    with open_inside(root, name) as file:
        if size is not None:
            return hashlib.blake2b(file.read(size), digest_size=32).hexdigest()
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
