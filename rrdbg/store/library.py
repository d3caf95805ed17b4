"""Where recordings live when the user names no place: ``$RRDBG_DIR``, or ``rrdbg`` in the XDG data directory."""

from __future__ import annotations

import os
import shutil
from contextlib import nullcontext
from pathlib import Path

from rrdbg.errors import RecordingError
from rrdbg.store.opening import is_inside
from rrdbg.store.sharing import InUseError, Others, take_lock

_LATEST = "latest"


class Library:
    """A directory of recordings, and a link to the latest one, wherever that lies."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def default(cls) -> Library:
        """The user's library."""
        if chosen := os.environ.get("RRDBG_DIR"):
            return cls(Path(chosen))
        data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        return cls(Path(data) / "rrdbg")

    def fresh(self, name: str) -> Path:
        """A path for a new recording: ``name-1``, ``name-2``, ..."""
        number = 1
        while (path := self.root / f"{name}-{number}").exists():
            number += 1
        return path

    def mark_latest(self, recording: Path) -> None:
        """Make ``recording`` the one that is opened when none is named."""
        self.root.mkdir(parents=True, exist_ok=True)
        draft = self.root / f".{_LATEST}-{os.getpid()}"
        draft.unlink(missing_ok=True)
        draft.symlink_to(recording.absolute())
        draft.replace(self.root / _LATEST)

    def latest(self) -> Path:
        """The latest recording.

        :raises RecordingError: there is none, or it is gone.
        """
        link = self.root / _LATEST
        if not link.is_symlink():
            raise RecordingError(
                "There is no recording yet; make one with: rrdbg record -- qemu-system-x86_64 ARGUMENTS"
            )
        path = link.readlink()
        if not path.is_dir():
            raise RecordingError(f"The latest recording, {path}, is gone; name another one ('rrdbg ls' lists them).")
        return path

    def find(self, name: str | None, *, exact: bool = False) -> Path:
        """The recording that the user means: a directory, a name in the library, or (None) the latest one.

        The name of what was recorded, without a number, means the newest of that name, unless it must be ``exact``.

        :raises RecordingError: there is no such recording.
        """
        if name is None:
            return self.latest()
        for path in (Path(name), self.root / name):
            if path.is_dir():
                return path
        alike = [] if exact else self.recordings()
        numbers = (path.name.removeprefix(f"{name}-") for path in alike)
        if newest := max((int(number) for number in numbers if number.isdecimal()), default=0):
            return self.root / f"{name}-{newest}"
        raise RecordingError(f"There is no recording {name}, neither as a directory nor in {self.root}.")

    def recordings(self) -> list[Path]:
        """The complete recordings in the library, by name."""
        if not self.root.is_dir():
            return []
        return sorted(
            path for path in self.root.iterdir() if not path.is_symlink() and is_inside(path, "manifest.json")
        )

    def remove(self, recording: Path) -> None:
        """Delete a recording and all its snapshots.

        :raises RecordingError: it is no recording, or in use; nothing was deleted.
        """
        if not is_inside(recording, "manifest.json"):
            raise RecordingError(f"{recording} is not a recording; nothing was deleted.")
        lock = take_lock(recording)
        others = Others(recording) if lock is not None else None
        try:
            with others.absent() if others else nullcontext(True) as alone:
                if not alone:
                    raise InUseError(recording, None)
                shutil.rmtree(recording)
        finally:
            if others:
                others.close()
            if lock is not None:
                os.close(lock)
