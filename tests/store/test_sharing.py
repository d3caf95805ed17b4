"""Who may come into a recording, and who may delete something in it (C3)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rrdbg.errors import RecordingError
from rrdbg.model.hits.index import HitIndex
from rrdbg.model.hits.stop import Hit, WatchKind, Watchpoint
from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.position import Position
from rrdbg.store.hits_file import load_hits, save_hits
from rrdbg.store.kept_timeline import KeptTimeline
from rrdbg.store.library import Library
from rrdbg.store.recording import Recording
from rrdbg.store.sharing import InUseError, Others, is_ours, take_lock
from rrdbg.store.timeline_file import load_timeline


@pytest.fixture
def copy(workload: Path, tmp_path: Path) -> Path:
    return shutil.copytree(workload, tmp_path / "workload")


def test_one_is_first_and_others_work_beside(copy: Path) -> None:
    with Recording.open(copy) as writer:
        assert writer.first
        with pytest.raises(InUseError, match=rf"\(pid {os.getpid()}\)"):
            Recording.open(copy)
        with writer.others_absent() as alone:
            assert alone
        writer.let_others_in()
        beside = [Recording.open(copy, beside=True) for _ in range(2)]
        for other in beside:
            assert (other.first, other.writable) == (False, True)
            assert other.beside == os.getpid()
            with other.others_absent() as alone:
                assert not alone, "who works beside deletes nothing"
            with writer.others_absent() as alone:
                assert not alone
            other.close()
        with writer.others_absent() as alone:
            assert alone
    with Recording.open(copy, beside=True) as next_one:
        assert next_one.first


def test_nobody_comes_in_while_it_is_opened(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rrdbg.store.sharing._OPENING_SECONDS", 0.05)
    with Recording.open(copy), pytest.raises(InUseError, match="opening it"):
        Recording.open(copy, beside=True)


def test_who_comes_in_stays_when_the_writer_goes(copy: Path) -> None:
    writer = Recording.open(copy)
    writer.let_others_in()
    with Recording.open(copy, beside=True):
        writer.close()
        with Recording.open(copy) as next_one, next_one.others_absent() as alone:
            assert next_one.first
            assert not alone
            (copy / "snapshots" / "100.state").write_bytes(b"")
            next_one.remove_strange()
            assert (copy / "snapshots" / "100.state").exists(), "it may be that of the one who has stayed"
        with pytest.raises(InUseError):
            Library(copy.parent).remove(copy)
        assert copy.is_dir()
    Library(copy.parent).remove(copy)
    assert not copy.exists()


def test_the_kernel_lets_go_of_who_is_killed(copy: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from rrdbg.store.recording import Recording\n"
        "r = Recording.open(Path(sys.argv[1]), beside=True); r.let_others_in(); print(r.beside or 0, flush=True)\n"
        "sys.stdin.read()"
    )

    def start() -> subprocess.Popen[str]:
        words = [sys.executable, "-c", program, str(copy)]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    first = start()
    assert first.stdout
    assert first.stdout.readline() == "0\n"
    second = start()
    assert second.stdout
    assert second.stdout.readline() == f"{first.pid}\n"
    for process in (first, second):
        process.kill()
        process.communicate()
    with Recording.open(copy) as recording, recording.others_absent() as alone:
        assert alone


def test_turns(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rrdbg.store.sharing._TURN_SECONDS", 0.05)
    with Recording.open(copy) as one:
        one.let_others_in()
        with Recording.open(copy, beside=True) as other:
            with one.turn(), one.turn():
                with pytest.raises(InUseError, match=rf"\(pid {os.getpid()}\); it has been writing"), other.turn():
                    pass
                assert load_timeline(other).end, "who reads does not wait"
            with other.turn():
                pass


def test_bookmarks_and_hits_of_two_are_both_kept(copy: Path) -> None:
    point = Watchpoint(1, 0x1000, 8, WatchKind.WRITE)
    with Recording.open(copy) as one:
        one.let_others_in()
        with Recording.open(copy, beside=True) as other:
            lines = [load_timeline(recording) for recording in (one, other)]
            kept = [KeptTimeline(*pair) for pair in zip((one, other), lines, strict=True)]
            hits = [HitIndex(), HitIndex()]
            for number in range(4):
                me = number % 2
                lines[me] = kept[me].save(
                    replace(lines[me], bookmarks={**lines[me].bookmarks, str(number): Bookmark(Position(number))})
                )
                low, high = Position(100 * number), Position(100 * number + 100)
                hit = Hit(Position(100 * number + 50), 0, point)
                hits[me] = save_hits((one, other)[me], hits[me].with_scan([point], low, high, [hit]))
            assert sorted(lines[1].bookmarks) == ["0", "1", "2", "3"]
            assert sorted(kept[0].renewed(lines[0]).bookmarks) == ["0", "1", "2", "3"]
            [piece] = hits[1].pieces([point], Position(0), Position(400))
            assert [found.position.icount for found in piece.hits or ()] == [50, 150, 250, 350]
            lines[1] = kept[1].save(replace(lines[1], bookmarks={}))
            assert not kept[0].save(kept[0].renewed(lines[0])).bookmarks, "what one takes away is gone"
    with Recording.open(copy) as recording:
        assert load_hits(recording) == hits[1]


def test_somebody_elses_process_is_not_joined() -> None:
    assert is_ours(os.getpid())
    assert not is_ours(1 << 22 | 1)


def test_a_read_only_directory_has_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert take_lock(tmp_path) is None
    assert not (tmp_path / "lock").exists()


def test_links_are_no_locks(tmp_path: Path) -> None:
    (tmp_path / "lock.beside").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordingError, match="Cannot use"):
        Others(tmp_path)
    assert not (tmp_path / "elsewhere").exists()
