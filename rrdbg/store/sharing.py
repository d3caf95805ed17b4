"""Several at once in one recording: one keeps what is found there, any number of others work beside it.

Two files are locked. Who has ``lock`` for himself writes: snapshots, hits, bookmarks. Whoever comes later finds it
taken, and works beside: he reads what is there, and holds ``lock.beside`` together with all who do. The writer takes
that for himself while he opens the recording, and whenever he deletes something that another may be using; where he
does not get it he leaves everything in its place. The kernel lets go of the locks of a process that is killed.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rrdbg.errors import RecordingError

_LOCK_SECONDS = 0.5
"""How long to try: a child that rrdbg was forking when it was killed holds the lock until it becomes a QEMU."""

_OPENING_SECONDS = 20.0
"""How long the writer may take to open a recording, to look at foreign files, and to delete what is left over."""

_FLOCK = re.compile(r"\d+: FLOCK +ADVISORY +WRITE (\d+) [0-9a-f]+:[0-9a-f]+:(\d+) ")


class InUseError(RecordingError):
    """Another rrdbg, the process ``pid`` if that is known, has the recording to write."""

    def __init__(self, root: Path, pid: int | None, remedy: str = "end that one first, or work on a copy") -> None:
        who = f" (pid {pid})" if pid else ""
        super().__init__(f"The recording {root} is in use by another rrdbg{who}; {remedy}.")
        self.pid = pid


def take_lock(root: Path) -> int | None:
    """A file descriptor that holds the recording's lock, until it is closed; None where the directory is read-only.

    :raises InUseError: another rrdbg holds it.
    :raises RecordingError: it cannot be locked.
    """
    if not os.access(root, os.W_OK):
        return None
    lock = _opened(root / "lock")
    if not _taken(lock, fcntl.LOCK_EX, _LOCK_SECONDS):
        pid = _holder(lock)
        os.close(lock)
        raise InUseError(root, pid)
    return lock


class Others:
    """Who works in the recording at ``root`` beside the one that holds its lock; :meth:`close` it in the end."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = _opened(root / "lock.beside")
        self._kept_out = False

    @classmethod
    def keep_out(cls, root: Path) -> Others:
        """For the writer: nobody may come in until :meth:`let_in`; those who are in stay."""
        others = cls(root)
        others._kept_out = _taken(others._lock, fcntl.LOCK_EX, 0.0)
        return others

    @classmethod
    def join(cls, root: Path, writer: int) -> Others:
        """Be one of them, when the process ``writer`` has opened the recording.

        :raises InUseError: it does not come to an end with that.
        """
        others = cls(root)
        if not _taken(others._lock, fcntl.LOCK_SH, _OPENING_SECONDS):
            others.close()
            raise InUseError(root, writer, "it has been opening it, or changing it, for a long time; try again later")
        return others

    def let_in(self) -> None:
        """Others may come in from now on."""
        if self._kept_out:
            self._kept_out = False
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    @contextmanager
    def absent(self) -> Iterator[bool]:
        """Whether there are none; if so, none comes in meanwhile. For the writer."""
        if self._kept_out:
            yield True
            return
        alone = _taken(self._lock, fcntl.LOCK_EX, 0.0)
        try:
            yield alone
        finally:
            if alone:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Be none of them any more, or the writer no more."""
        os.close(self._lock)


def is_ours(pid: int) -> bool:
    """Whether a process is this user's, who then has opened the recording as this one would."""
    try:
        return Path(f"/proc/{pid}").stat().st_uid == os.getuid()
    except OSError:
        return False


def _opened(path: Path) -> int:
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        return os.open(path, flags, 0o600)
    except OSError as error:
        raise RecordingError(f"Cannot use {path}: {error.strerror}.") from None


def _taken(lock: int, how: int, seconds: float) -> bool:
    """Try for so long to lock a file; whether it is."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(_LOCK_SECONDS / 50)


def _holder(lock: int) -> int | None:
    """The process that has a file locked for itself, as the kernel says; None if it does not."""
    inode = os.fstat(lock).st_ino
    try:
        found = _FLOCK.findall(Path("/proc/locks").read_text())
    except OSError:
        return None
    return next((int(pid) for pid, locked in found if int(locked) == inode and int(pid) > 0), None)
