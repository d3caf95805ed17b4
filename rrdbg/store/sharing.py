"""Several at once in one recording: any number work in it, each with a cursor, and keep what they find, in turns.

Three files are locked. Whoever comes first has ``lock`` for himself: he alone may delete something. Whoever comes later
finds it taken, and works beside: he holds ``lock.beside`` together with all who do. The first one takes that for
himself while he opens the recording, and whenever he deletes something that another may be using; where he does not get
it he leaves everything in its place. Whoever writes has ``lock.turn`` for a moment, in which he takes up what others
have written before he replaces it; who reads never waits. The kernel lets go of the locks of a process that is killed.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from rrdbg.errors import RecordingError

_LOCK_SECONDS = 0.5
"""How long to try: a child that rrdbg was forking when it was killed holds the lock until it becomes a QEMU."""

_OPENING_SECONDS = 20.0
"""How long the first one may take to open a recording, to look at foreign files, and to delete what is left over."""

_TURN_SECONDS = 20.0
"""How long to wait for one's turn: others take milliseconds, and the pages of a large snapshot a second."""

_FLOCK = re.compile(r"\d+: FLOCK +ADVISORY +WRITE (\d+) [0-9a-f]+:[0-9a-f]+:(\d+) ")


class InUseError(RecordingError):
    """Another rrdbg, the process ``pid`` if that is known, has the recording for itself."""

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


class Turns:
    """The turns of one session to write in the recording at ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._writing = RLock()
        self._depth = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """One's turn, for a moment; inside of it one may ask for it again.

        :raises InUseError: another session does not come to an end; it says which.
        """
        with self._writing:
            if self._depth:
                yield
                return
            lock = _opened(self._root / "lock.turn")
            try:
                if not _taken(lock, fcntl.LOCK_EX, _TURN_SECONDS, pause=0.001):
                    remedy = "it has been writing there for a long time; try again later"
                    raise InUseError(self._root, _holder(lock), remedy)
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
            finally:
                os.close(lock)


class Others:
    """Who works in the recording at ``root`` beside the one that holds its lock; :meth:`close` it in the end."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = _opened(root / "lock.beside")
        self._kept_out = False

    @property
    def kept_out(self) -> bool:
        """Whether nobody is in, and nobody comes in."""
        return self._kept_out

    @classmethod
    def keep_out(cls, root: Path) -> Others:
        """For the first one: nobody may come in until :meth:`let_in`; those who are in stay."""
        others = cls(root)
        others._kept_out = _taken(others._lock, fcntl.LOCK_EX, 0.0)
        return others

    @classmethod
    def join(cls, root: Path, first: int) -> Others:
        """Be one of them, when the process ``first`` has opened the recording.

        :raises InUseError: it does not come to an end with that.
        """
        others = cls(root)
        if not _taken(others._lock, fcntl.LOCK_SH, _OPENING_SECONDS):
            others.close()
            raise InUseError(root, first, "it has been opening it, or changing it, for a long time; try again later")
        return others

    def let_in(self) -> None:
        """Others may come in from now on."""
        if self._kept_out:
            self._kept_out = False
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    @contextmanager
    def absent(self) -> Iterator[bool]:
        """Whether there are none; if so, none comes in meanwhile. For the first one."""
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
        """Be none of them any more, or the first one no more."""
        os.close(self._lock)


def is_free(root: Path) -> bool:
    """Whether nobody has the recording at ``root`` for himself at the moment."""
    lock = _opened(root / "lock")
    try:
        return _taken(lock, fcntl.LOCK_EX, 0.0)
    finally:
        os.close(lock)


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


def _taken(lock: int, how: int, seconds: float, pause: float = _LOCK_SECONDS / 50) -> bool:
    """Try for so long to lock a file; whether it is."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(pause)


def _holder(lock: int) -> int | None:
    """The process that has a file locked for itself, as the kernel says; None if it does not."""
    inode = os.fstat(lock).st_ino
    try:
        found = _FLOCK.findall(Path("/proc/locks").read_text())
    except OSError:
        return None
    return next((int(pid) for pid, locked in found if int(locked) == inode and int(pid) > 0), None)
