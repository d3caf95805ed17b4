"""The log of a bisect: written, cut, read, and written on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrdbg.errors import RecordingError, UsageError
from rrdbg.model.hits.bisection import Probe, Verdict
from rrdbg.model.timeline.position import Position
from rrdbg.store.bisect_log import BisectLog, Head, read_bisect_log

HEAD = Head("/recordings/one", "abc", "run", ("./check.sh", "a b"), Position(0), Position(10_000, 1), "sh")
PROBES = [
    Probe(Position(5), Verdict.GOOD, "1\n2", 0.25),
    Probe(Position(7, 2), Verdict.SKIP),
    Probe(Position(9), Verdict.BAD),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("log") / "log"
    with BisectLog.create(path, HEAD) as log:
        for probe in PROBES:
            log.add(probe)
    assert read_bisect_log(path) == (HEAD, PROBES)
    return path.read_bytes()


@given(st.data())
def test_a_cut_log_goes_on(written: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "cut"
    path.write_bytes(written[: data.draw(st.integers(written.index(b"\n") + 1, len(written)))])
    head, probes = read_bisect_log(path)
    assert (head, probes) == (HEAD, PROBES[: len(probes)])
    with BisectLog.resume(path) as log:
        for probe in PROBES[len(probes) :]:
            log.add(probe)
    assert path.read_bytes() == written


def test_what_is_no_log_is_refused(tmp_path: Path, written: bytes) -> None:
    path = tmp_path / "log"
    for content in (
        b"",
        b"\n",
        b"[]\n",
        b"{}\n",
        b'{"rrdbg-bisect": 1}\n',
        written.replace(b"good", b"fine"),
        b"\xff\n",
    ):
        path.write_bytes(content)
        with pytest.raises(RecordingError, match="is not a log of 'rrdbg bisect', or is damaged"):
            read_bisect_log(path)
    path.write_bytes(b'{"rrdbg-bisect": 2}\n')
    with pytest.raises(RecordingError, match="newer"):
        read_bisect_log(path)
    with pytest.raises(RecordingError, match="Cannot read the log"):
        read_bisect_log(tmp_path / "nothing")
    with pytest.raises(UsageError, match="exists already; go on with --resume"):
        BisectLog.create(path, HEAD)
    with pytest.raises(UsageError, match="Cannot write the log"):
        BisectLog.create(tmp_path / "no" / "log", HEAD)
    with pytest.raises(UsageError, match="Cannot write the log"):
        BisectLog.resume(tmp_path / "nothing")
