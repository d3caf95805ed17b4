"""A file that several sessions replace: has another one done so since this one last read or wrote it?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class SharedFile:
    """The file at ``path``, which is always replaced as a whole, so that it is another one after each change."""

    path: Path
    _known: tuple[int, int, int] | None = field(default=None, init=False)

    @property
    def changed(self) -> bool:
        """Whether it is not the one that was noted; 2 microseconds."""
        return self._look() != self._known

    def note(self) -> None:
        """This session reads it now, or has just written it, in its turn.

        Who reads notes first: what is written meanwhile is a change then.
        """
        self._known = self._look()

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.lstat()
        except OSError:
            return None  # there is none; whoever reads it says what else is wrong
        return status.st_ino, status.st_size, status.st_mtime_ns
