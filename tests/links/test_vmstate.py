"""A machine's state out of an image, and why the guest was stopped in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rrdbg.errors import ImageError
from rrdbg.links.vmstate import as_paused, read_vmstate


def test_the_initial_snapshot_is_a_migration_stream(workload: Path) -> None:
    state = read_vmstate(workload / "snapshots/initial.qcow2", "replay_init")
    assert state.startswith(b"QEVM\x00\x00\x00\x03")
    assert b"\x06replay" in state


def test_what_is_no_snapshot_is_told_of(workload: Path, tmp_path: Path) -> None:
    image = Path(shutil.copyfile(workload / "snapshots/initial.qcow2", tmp_path / "image"))
    with pytest.raises(ImageError, match="holds no snapshot 'other'"):
        read_vmstate(image, "other")
    for content in (b"", b"nonsense" * 100, image.read_bytes()[:70]):
        image.write_bytes(content)
        with pytest.raises(ImageError, match=r"is damaged|holds no snapshot"):
            read_vmstate(image, "replay_init")


@pytest.mark.parametrize(
    ("word", "expected"), [(b"debug", b"paused"), (b"paused", b"paused"), (b"shutdown", b"shutdown")]
)
def test_nobody_in_particular_has_stopped_the_guest(word: bytes, expected: bytes) -> None:
    def state(word: bytes) -> bytes:
        section = b"\x0bglobalstate" + bytes(8) + (len(word) + 1).to_bytes(4) + word.ljust(100, b"\0")
        return b"QEVM" + section + b"more"

    assert as_paused(state(word)) == state(expected)
