"""A folder for the sockets and passing files of one process, where it may be killed without leaving one for good.

Nobody cleans up after SIGKILL, so each folder holds a lock for as long as its process lives, and whoever makes a new
one removes those whose lock is free. A lock, not a process id, since containers may share the folder above and not
the processes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rrdbg.errors import RecordingError

PREFIX = "rrdbg-"

_LOCK = "lock"
_DRAFT_SECONDS = 60.0
"""A folder gets its lock and its name within microseconds: one that has them not by then is a killed process's."""

_LONGEST_SOCKET = 107
"""Bytes that the path of a unix socket may have."""

_ROOM = len("/rrdbg-xxxxxxxx/socket")


class WorkFolder:
    """One such folder, readable by this user alone; a context manager, or :meth:`close` it."""

    def __init__(self, where: Path | None = None) -> None:
        """Make it among temporary files, or for files that may become too large for those in the folder ``where``.

        :raises RecordingError: there is no place for it.
        """
        places = list(_places()) if where is None else [where]
        for place in places:
            _sweep(place)
            try:
                # Under a name that nobody sweeps, until it has its lock.
                draft = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=place))
            except OSError:
                continue
            self._lock = _locked(draft / _LOCK)
            self.path = draft.rename(draft.with_name(draft.name.removeprefix(".")))
            return
        if where is not None:
            raise RecordingError(f"There is no room in {where} for files that do not stay: it is full, or read-only.")
        raise RecordingError(
            f"There is no room for files that do not stay, in none of {', '.join(map(str, places))}: each is full, "
            "read-only, or has too long a path for a socket. Set TMPDIR to a folder with a short path."
        )

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()


def _places() -> Iterator[Path]:
    """Where temporary files may go, the first choice first, as far as sockets in them have names that fit."""
    wanted = [tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR"), "/tmp", "/var/tmp"]
    for place in dict.fromkeys(filter(None, wanted)):
        if len(os.fsencode(place)) + _ROOM <= _LONGEST_SOCKET:
            yield Path(place)


def _locked(path: Path) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _sweep(place: Path) -> None:
    """Remove this user's folders whose process has ended."""
    for folder in place.glob(f"{PREFIX}*"):
        # Another user's cannot be opened, and what has no lock is none of ours.
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
    for draft in place.glob(f".{PREFIX}*"):
        with contextlib.suppress(OSError):
            old = time.time() - draft.lstat().st_mtime > _DRAFT_SECONDS
            if old and {path.name for path in draft.iterdir()} <= {_LOCK}:
                (draft / _LOCK).unlink(missing_ok=True)
                draft.rmdir()
