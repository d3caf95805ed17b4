"""A folder for what a session finds or makes and cannot, or need not, keep with the recording: it ends with it."""

from __future__ import annotations

from pathlib import Path

from rrdbg.store.workfolder import WorkFolder


class Aside:
    """Such a folder, made when it is first needed."""

    def __init__(self) -> None:
        self._folder: WorkFolder | None = None

    def place_of(self, path: Path) -> Path:
        """Where in it the file is to be written that would be ``path``.

        :raises RecordingError: there is no room for it.
        """
        if self._folder is None:
            self._folder = WorkFolder()
        return self._folder.path / path.name

    def kept_at(self, path: Path) -> Path:
        """Where that file is read: in it if it was written there, or else ``path``."""
        aside = self._folder.path / path.name if self._folder else path
        return aside if aside.exists() else path

    def close(self) -> None:
        """Remove it."""
        if self._folder:
            self._folder.close()
            self._folder = None
