"""Files of a recording that somebody has altered: whatever is in them, one sentence, in bounded time and memory."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import strategies as st

from rrdbg.errors import RrdbgError
from rrdbg.model.machine.description.describe import describe
from rrdbg.model.timeline.position import Position
from rrdbg.store.archive import pack, unpack
from rrdbg.store.checkpoints import thinned
from rrdbg.store.clock import MARKS
from rrdbg.store.files import write_atomically
from rrdbg.store.history import Console, counts
from rrdbg.store.hits_file import load_hits
from rrdbg.store.layout import Layout
from rrdbg.store.logevents import CharWrite, events
from rrdbg.store.logformat import Kind
from rrdbg.store.manifest import Manifest
from rrdbg.store.recording import Recording, adopt
from rrdbg.store.replaylog import summarise
from rrdbg.store.timeline_file import load_timeline
from tests.fuzz import altered, bounded_memory, fuzz, mutilated
from tests.store.logwriter import OLD, write_log


@pytest.fixture(scope="module")
def sent(workload: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose files may be altered, one after another."""
    return Path(shutil.copytree(workload, tmp_path_factory.mktemp("sent") / "workload"))


@fuzz(data=st.data())
def test_fuzz_manifest(sent: Path, workload: Path, data: st.DataObject) -> None:
    path = Layout(sent).manifest
    content = json.loads(Layout(workload).manifest.read_bytes())
    raw = json.dumps(altered(content, data)).encode()
    write_atomically(path, mutilated(raw, data) if data.draw(st.integers(0, 3)) == 0 else raw)
    try:
        with bounded_memory(), contextlib.suppress(RrdbgError):
            describe(Manifest.read(path).invocation)
        with bounded_memory(), contextlib.suppress(RrdbgError):
            Recording.peek(sent)
    finally:
        shutil.copyfile(Layout(workload).manifest, path)


TIMELINE = {
    "schema": 4,
    "snapshots": [
        {"icount": 5, "tag": "rrdbg-5", "kind": "named", "files": ["snapshots/5.state", "snapshots/5.pages"], "size": 1,
         "load_seconds": 0.1, "sound": True, "name": "mine", "digest": "a"},
    ],
    "marks": {"stops": [[5, 0, "text"]], "who ran": [[1, 0, "main", 5, 1]]},
    "bookmarks": {"here": [5, 0, "note"]}, "cost": [[0, 5, 0.1]],
}  # fmt: skip
HITS = {
    "kind": "watch", "address": 4096, "length": 4, "covered": [[0, 0, 9, 0]],
    "hits": [[5, 0, 4096, "00", "01"], [6, 0, 1, False]],
}  # fmt: skip


@fuzz(data=st.data())
def test_fuzz_timeline(sent: Path, data: st.DataObject) -> None:
    layout = Layout(sent)
    raw = json.dumps(altered(TIMELINE, data)).encode()
    layout.timeline.write_bytes(mutilated(raw, data) if data.draw(st.integers(0, 3)) == 0 else raw)
    if data.draw(st.booleans()):
        adopt(sent)  # what is trusted must be typed all the same
    with bounded_memory(), contextlib.suppress(RrdbgError):
        timeline = load_timeline(Recording.peek(sent))
        timeline.nearest(timeline.end.icount)
        assert timeline.cost.seconds(0, timeline.end.icount) >= 0


@fuzz(data=st.data())
def test_fuzz_hits(sent: Path, data: st.DataObject) -> None:
    layout = Layout(sent)
    identity = Manifest.read(layout.manifest).checksums["replay.bin"]
    content = {
        "schema": 1,
        "log": identity,
        "points": [HITS, HITS | {"kind": "break", "length": 0, "hits": [[5, 0, 1]]}],
    }
    raw = json.dumps(altered(content, data)).encode()
    layout.hits.write_bytes(mutilated(raw, data) if data.draw(st.integers(0, 3)) == 0 else raw)
    if data.draw(st.booleans()):
        adopt(sent)
    with bounded_memory(), contextlib.suppress(RrdbgError):
        index = load_hits(Recording.peek(sent))
        for key in index.points:
            index.pieces([key.point(1)], Position(0), Position(9))


@fuzz(data=st.data())
def test_fuzz_log(tmp_path: Path, data: st.DataObject) -> None:
    known = [
        (Kind.INSTRUCTION, 5), (Kind.INTERRUPT, None), (Kind.CHAR_WRITE, CharWrite(1, 0)), (Kind.INSTRUCTION, 7),
        (Kind.CLOCK_HOST, 9), (Kind.CLOCK_VIRTUAL_RT, 9), (Kind.CHECKPOINT_CLOCK_VIRTUAL, None),
    ]  # fmt: skip
    whole = write_log(OLD, data.draw(st.lists(st.sampled_from(known), max_size=12)))
    path = tmp_path / "replay.bin"
    path.write_bytes(mutilated(whole, data))
    (tmp_path / "console.log").write_bytes(b"x")
    for read in (
        summarise,
        lambda log: list(events(log)),
        lambda log: list(thinned(log, MARKS)),
        counts,
        lambda log: list(Console.read(log, tmp_path / "console.log").lines()),
    ):
        with bounded_memory(), contextlib.suppress(RrdbgError):
            read(path)


@pytest.fixture(scope="module")
def packed(workload: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An archive."""
    folder = tmp_path_factory.mktemp("packed")
    copy = Path(shutil.copytree(workload, folder / "workload"))
    with Recording.open(copy) as recording:
        for _ in pack(recording, folder / "archive", load_timeline(recording), everything=False):
            pass
    return (folder / "archive").read_bytes()


@fuzz(data=st.data())
def test_fuzz_archive(packed: bytes, tmp_path: Path, data: st.DataObject) -> None:
    """Altered as it lies there, which gzip's checksum tells, and below that."""
    import gzip

    folder = tmp_path / "folder"
    folder.mkdir(exist_ok=True)
    inner = data.draw(st.booleans())
    raw = gzip.compress(mutilated(gzip.decompress(packed)[:4096], data), 1) if inner else mutilated(packed, data)
    (tmp_path / "archive").write_bytes(raw)
    with bounded_memory(), contextlib.suppress(RrdbgError):
        for _ in unpack(tmp_path / "archive", folder / "one"):
            pass
    left = [path.name for path in folder.iterdir()]
    assert left in ([], ["one"])
    shutil.rmtree(folder)
