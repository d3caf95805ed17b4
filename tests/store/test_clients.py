"""Sessions in one recording see each other, and nobody sees one that has died."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rrdbg.model.timeline.position import Position
from rrdbg.store.clients import Comings, Presence

PATIENCE = 20
OTHER = """
import sys
from pathlib import Path
from rrdbg.model.timeline.position import Position
from rrdbg.store.clients import Presence
presence = Presence(Path(sys.argv[1]), "replay")
presence.moved(Position(77, 1))
print("there", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def presence(tmp_path: Path) -> Iterator[Presence]:
    mine = Presence(tmp_path / "recording", "web")
    yield mine
    mine.close()


def came(comings: Comings) -> None:
    """Wait until something is told."""
    assert select.select([comings.file], [], [], PATIENCE)[0], "nothing was told"
    comings.taken()


def test_each_sees_where_the_others_are(tmp_path: Path, presence: Presence) -> None:
    assert presence.others() == []
    comings = Comings(presence)
    other = Presence(tmp_path / "recording", "serve")
    came(comings)
    elsewhere = Presence(tmp_path / "another", "replay")
    other.moved(Position(1_234, 2))
    came(comings)
    (seen,) = presence.others()
    assert (seen.name, seen.pid, seen.position) == ("serve", os.getpid(), Position(1_234, 2))
    assert [client.name for client in other.others()] == ["web"]
    other.moved(Position(5))
    assert presence.others()[0].key == seen.key
    assert presence.others()[0].position == Position(5)
    other.close()
    came(comings)
    assert presence.others() == []
    elsewhere.close()
    comings.close()
    presence.close()
    assert not list((tmp_path / "state").rglob("*.json"))


def test_one_that_was_killed_is_there_no_more(tmp_path: Path, presence: Presence) -> None:
    words = [sys.executable, "-c", OTHER, str(tmp_path / "recording")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        (seen,) = presence.others()
        assert (seen.name, seen.pid, seen.position) == ("replay", process.pid, Position(77, 1))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert presence.others() == []
    assert len(list(presence.folder.iterdir())) == 1, "its file is removed"


@pytest.mark.parametrize("content", [b"", b"[]", b'{"name": 1}', b"\xff" * 300, b'{"name": "x", "pid": -1}'])
def test_what_is_no_announcement_is_nobody(content: bytes, tmp_path: Path, presence: Presence) -> None:
    with (presence.folder / "strange.json").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(content)
        file.flush()
        os.mkfifo(presence.folder / "pipe.json")
        (presence.folder / "link.json").symlink_to(tmp_path / "nothing")
        assert presence.others() == []


def test_where_nothing_can_be_written_nobody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    silent = Presence(tmp_path / "recording", "web")
    silent.moved(Position(3))
    assert silent.others() == []
    silent.close()


def test_a_disk_that_is_full_ends_no_movement(
    tmp_path: Path, presence: Presence, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Presence(tmp_path / "recording", "replay")

    def full(file: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    other.moved(Position(5))
    other.moved(Position(6))
    assert presence.others() == [], "who cannot say where it is says nothing"
    other.close()
