"""Who is at work in a recording, and where: each session says so in a file of its own.

The files lie with what is the user's own, not in the recording: that may be read-only, or somebody else's, and sessions
of other users do not work in it. Each is locked for as long as its session lives, so that one that was killed is not
taken for one that stands still; the kernel lets go of its lock, and whoever looks next removes the file.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import logging
import os
import tempfile
from hashlib import sha256
from pathlib import Path

from rrdbg.errors import RrdbgError
from rrdbg.model.document import Document
from rrdbg.model.shown import shown
from rrdbg.model.timeline.position import Position
from rrdbg.model.travel.client import Client
from rrdbg.store.files import state_directory

_log = logging.getLogger(__name__)

_LENGTH = 256
"""Bytes of a file: always as many, so that it is written in one go and never cut."""

_LONGEST_NAME = 40
_SUFFIX = ".json"

_IN_MODIFY, _IN_CLOSE_WRITE, _IN_MOVED_TO, _IN_DELETE = 0x2, 0x8, 0x80, 0x200
_INOTIFY_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


class Presence:
    """A session's announcement in the recording at ``root``, as ``name``; :meth:`close` takes it away.

    Where it cannot be written the session is not seen by others, which is told to the log; it sees them.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.folder = _folder(root)
        self._name = name[:_LONGEST_NAME]
        self._path: Path | None = None
        self._file: int | None = None
        self._told: Position | None = None
        try:
            self._announce()
        except OSError as error:
            self._give_up(error)

    def _announce(self) -> None:
        # Under a name at which nobody looks, until it has its lock and something in it.
        try:
            self._file, draft = self._made()
        except FileNotFoundError:
            self._file, draft = self._made()  # the last one has gone meanwhile, and the folder with it
        self._path = Path(draft)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._write(Position(0))
        self._path = self._path.rename(self._path.with_name(self._path.name.removeprefix(".")))

    def _give_up(self, error: OSError) -> None:
        _log.info("%s cannot be written (%s), so other sessions do not see this one.", self.folder, error.strerror)
        self.close()

    def _made(self) -> tuple[int, str]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return tempfile.mkstemp(prefix=".", suffix=_SUFFIX, dir=self.folder)

    def moved(self, position: Position) -> None:
        """The cursor is at ``position`` now; 10 microseconds. A full disk ends the announcement, and no more."""
        if self._file is None or position == self._told:
            return
        try:
            self._write(position)
        except OSError as error:
            self._give_up(error)

    def _write(self, position: Position) -> None:
        assert self._file is not None
        self._told = position
        content = {"name": self._name, "pid": os.getpid(), "icount": position.icount, "phase": position.phase}
        os.pwrite(self._file, json.dumps(content).encode().ljust(_LENGTH), 0)

    def others(self) -> list[Client]:
        """The other sessions that are there now, in the order of their process ids."""
        found = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or (self._path and entry.name == self._path.name):
                    continue
                if client := _look(Path(entry.path)):
                    found.append(client)
        return sorted(found, key=lambda client: (client.pid, client.key))

    def close(self) -> None:
        """This session has gone."""
        if self._file is None:
            return
        with contextlib.suppress(FileNotFoundError):
            if self._path:
                self._path.unlink()
        os.close(self._file)
        self._file = None
        with contextlib.suppress(OSError):
            self.folder.rmdir()  # the last one; or it is not empty


class Comings:
    """Tells that another session has come, moved or gone: :attr:`file` is readable then, until :meth:`taken`."""

    def __init__(self, presence: Presence) -> None:
        """
        :raises OSError: this machine watches no more folders for this user.
        """
        presence.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.file: int = _libc.inotify_init1(_INOTIFY_FLAGS)
        if self.file < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        wanted = _IN_MODIFY | _IN_CLOSE_WRITE | _IN_MOVED_TO | _IN_DELETE
        if _libc.inotify_add_watch(self.file, os.fsencode(presence.folder), wanted) < 0:
            number = ctypes.get_errno()
            self.close()
            raise OSError(number, os.strerror(number), str(presence.folder))

    def taken(self) -> None:
        """Have :attr:`file` not be readable until something new happens."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.file, 1 << 16):
                pass

    def close(self) -> None:
        """Watch no more."""
        os.close(self.file)


def _folder(root: Path) -> Path:
    return state_directory() / "clients" / sha256(os.fsencode(root.resolve())).hexdigest()[:24]


def _look(path: Path) -> Client | None:
    """Who has written a file; None if he is no more."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None  # it has just gone, or is none of ours
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path.name.removesuffix(_SUFFIX), os.pread(file, _LENGTH, 0))
    finally:
        os.close(file)
    path.unlink(missing_ok=True)
    return None


def _read(key: str, data: bytes) -> Client | None:
    try:
        content = Document.parse(data)
        position = Position(content["icount"].integer(), content["phase"].integer())
        return Client(key, shown(content["name"].text(_LONGEST_NAME)), content["pid"].integer(), position)
    except RrdbgError:
        return None  # read while it was written: it is told again at once
