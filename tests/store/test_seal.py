"""The seal: files of a recording are known again without being read, and never where they were changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from rrdbg.errors import RecordingError
from rrdbg.store import files, seal
from rrdbg.store.layout import Layout
from rrdbg.store.recording import Recording, adopt


@pytest.fixture
def own(workload: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(workload, tmp_path / "own"))
    adopt(copy)
    return copy


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose content is read, in order."""
    names: list[str] = []
    true = files.checksum_inside

    def counted(root: Path, name: str, size: int | None = None) -> str:
        names.append(name)
        return true(root, name, size)

    monkeypatch.setattr(seal, "checksum_inside", counted)
    return names


def test_recorded_files_are_read_once_and_not_at_each_opening(own: Path, read: list[str]) -> None:
    with Recording.open(own) as recording:
        recorded = set(recording.manifest.checksums)
    assert recorded <= set(read)
    read.clear()
    with Recording.open(own):
        pass
    assert read == []
    Recording.peek(own)
    assert read == []


def test_a_copy_is_read_once_and_then_known(own: Path, tmp_path: Path, read: list[str]) -> None:
    with Recording.open(own) as recording:
        recorded = set(recording.manifest.checksums)
    copy = Path(shutil.copytree(own, tmp_path / "copy"))
    read.clear()
    with Recording.open(copy):
        pass
    assert sorted(name for name in read if name in recorded) == sorted(recorded)  # each once
    read.clear()
    with Recording.open(copy):
        pass
    assert read == []


def test_s3_a_change_that_size_and_date_do_not_tell_is_noticed(own: Path) -> None:
    with Recording.open(own):
        pass
    for name in ("replay.bin", "snapshots/initial.qcow2"):
        path = own / name
        before, status = path.read_bytes(), path.stat()
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(bytes([before[-1] ^ 1]))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(RecordingError, match="is not the file that was recorded"):
            Recording.open(own)
        path.write_bytes(before)
        with Recording.open(own):
            pass


def test_s3_another_file_in_its_place_is_noticed(own: Path, tmp_path: Path) -> None:
    with Recording.open(own):
        pass
    log = Layout(own).log
    other = tmp_path / "other"
    other.write_bytes(bytes(log.stat().st_size))
    os.utime(other, ns=(log.stat().st_atime_ns, log.stat().st_mtime_ns))
    other.replace(log)
    with pytest.raises(RecordingError, match="is not the file that was recorded"):
        Recording.open(own)


def test_s3_a_seal_of_somebody_elses_proves_nothing(
    own: Path, read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recording.open(own) as recording:
        recorded = set(recording.manifest.checksums)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    read.clear()
    with Recording.open(own):
        pass
    assert recorded <= set(read)
