"""Folders for passing files: their rights, where they are made, and that none stays of those who were killed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rrdbg.errors import RecordingError
from rrdbg.store import workfolder
from rrdbg.store.workfolder import WorkFolder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_for_one_user_and_goes(temporary: Path) -> None:
    with WorkFolder() as folder, WorkFolder() as other:
        assert folder.parent == temporary
        assert other != folder
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.exists(), "another one that is made does not sweep it away"
        (folder / "file").write_text("content")
    assert list(temporary.iterdir()) == []


def test_those_of_the_dead_are_swept_and_nothing_else(temporary: Path) -> None:
    (temporary / "rrdbg-notes").mkdir()
    (temporary / "rrdbg-link").symlink_to(temporary / "rrdbg-notes")
    code = (
        "import os, signal, tempfile\n"
        f"tempfile.tempdir = {str(temporary)!r}\n"
        "from rrdbg.store.workfolder import WorkFolder\n"
        "folder = WorkFolder()\n"
        "print(folder.path, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=False)
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    with WorkFolder() as folder:
        assert not left.exists()
        assert sorted(temporary.iterdir()) == sorted([folder, temporary / "rrdbg-link", temporary / "rrdbg-notes"])


def test_what_was_killed_before_it_had_a_name_is_swept_up_later(temporary: Path) -> None:
    """If it is old and has nothing in it that could be anybody's."""
    for name, content, old in (("a", (), True), ("b", ("lock",), True), ("c", (), False), ("d", ("notes",), True)):
        draft = temporary / f".rrdbg-{name}"
        draft.mkdir()
        for file in content:
            (draft / file).touch()
        if old:
            os.utime(draft, (0, 0))
    with WorkFolder():
        assert sorted(path.name for path in temporary.glob(".rrdbg-*")) == [".rrdbg-c", ".rrdbg-d"]


def test_a_folder_too_deep_for_a_socket_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("deep" * 25)
    deep.mkdir()
    short = tmp_path / "s"
    short.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    with WorkFolder() as folder:
        assert folder.parent == short
    monkeypatch.setattr(workfolder, "_places", lambda: iter([tmp_path / "nowhere"]))
    with pytest.raises(RecordingError, match="TMPDIR"):
        WorkFolder()
