"""Several processes in one recording at once: each gets the right answers, whoever is killed meanwhile (C3)."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import rrdbg
from rrdbg.engine.replay import Replay
from rrdbg.model.hits.index import PointKey
from rrdbg.model.hits.stop import Watchpoint
from rrdbg.model.results import Snapshots
from rrdbg.model.timeline.snapshot import Snapshot
from rrdbg.store.workfolder import WorkFolder
from tests.guests.build import symbol
from tests.oracle import Oracle
from tests.processes import qemus_in

ROUNDS = int(os.environ.get("RRDBG_KILLS", "2"))
"""How many processes are killed."""

WORKER = """
import json, random, sys
import rrdbg

root, truth, seed = sys.argv[1], json.loads(open(sys.argv[2]).read()), int(sys.argv[3])
chance = random.Random(seed)
with rrdbg.open(root, gdb=None, jobs=1) as replay:
    print("open", replay.beneath.cursor.recording.first, flush=True)
    for number in range(10_000):
        icount, phase, pc, value = chance.choice(truth["entries"])
        stop = replay.seek(rrdbg.Position(icount, phase))
        assert stop.pc == pc, f"{stop} is not at {pc:#x}"
        assert int.from_bytes(replay.read_memory(truth["counter"], 8), "little") == value, stop
        low, high = sorted(chance.choice(truth["entries"])[0] for _ in range(2))
        if low < high and chance.random() < 0.3:
            found = [hit.position.icount for hit in replay.writes(truth["counter"], 8, low, high)]
            wanted = [place for place in truth["changes"] if low <= place < high]
            assert found == wanted, f"writes from {low} to {high}: {found}, not {wanted}"
        if chance.random() < 0.2:
            replay.bookmark(f"b{seed}_{number}", "here")
            print("kept", f"b{seed}_{number}", flush=True)
        print("done", number, flush=True)
"""


@dataclass
class Workers:
    """Processes that work in the recording ``root``; ``truth`` is what they compare with."""

    root: Path
    truth: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)
    seeds: int = 0
    kept: set[str] = field(default_factory=set)
    """Bookmarks that are there, as those who made them have said."""

    def start(self) -> subprocess.Popen[str]:
        """One more; when it has opened the recording."""
        self.seeds += 1
        words = [sys.executable, "-c", WORKER, str(self.root), str(self.truth), str(self.seeds)]
        worker = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.running.append(worker)
        return worker

    def said(self, worker: subprocess.Popen[str], right: Callable[[str], bool]) -> str:
        """The next line of a worker's that is ``right``."""
        assert worker.stdout
        while line := worker.stdout.readline():
            self._note(line)
            if right(line):
                return line
        _, errors = worker.communicate()
        raise AssertionError(f"It ended with {worker.returncode}: {errors}")

    def kill(self, worker: subprocess.Popen[str]) -> None:
        """Kill it, at any moment of its work."""
        self.running.remove(worker)
        worker.send_signal(signal.SIGKILL)
        said, errors = worker.communicate()
        self._note(said)
        assert worker.returncode == -signal.SIGKILL, errors

    def _note(self, said: str) -> None:
        self.kept.update(re.findall(r"^kept (.+)\n", said, re.MULTILINE))

    def end(self) -> None:
        for worker in list(self.running):
            self.kill(worker)


@pytest.mark.timeout(max(300, 30 * ROUNDS))
def test_four_work_at_once_and_are_killed(workload: Path, workload_guest: Path, busy: Oracle, tmp_path: Path) -> None:
    counter = symbol(workload_guest, "counter").address
    values = [
        (entry.position.icount, entry.position.phase, entry.pc, int.from_bytes(entry.memory[counter], "little"))
        for entry in busy.entries
    ]
    changes = [busy[at].position.icount for at in busy.changes(counter)]
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"entries": values[:-1], "changes": changes, "counter": counter}))
    root = shutil.copytree(workload, tmp_path / "workload")
    chance = random.Random(20261127)
    workers = Workers(root, truth)
    try:
        first = workers.start()
        assert "True" in workers.said(first, lambda line: line.startswith("open"))
        others = [workers.start() for _ in range(3)]
        for other in others:
            assert "False" in workers.said(other, lambda line: line.startswith("open")), (
                "the first one alone may delete"
            )
        victim = first  # the one that came first
        for _ in range(ROUNDS):
            time.sleep(chance.random())  # at any moment
            workers.kill(victim)
            fresh = workers.start()
            workers.said(fresh, lambda line: line.startswith("open"))
            for worker in workers.running:
                workers.said(worker, lambda line: line.startswith("done"))
            victim = chance.choice(workers.running)
    finally:
        workers.end()
    with rrdbg.open(root, gdb=None) as replay:
        assert replay.beneath.cursor.recording.first
        assert workers.kept
        assert workers.kept <= set(replay.bookmarks), "nothing that was kept is lost, whoever was killed"
        for at in (0, len(busy) // 2, len(busy) - 1):
            stop = replay.seek(busy[at].position)
            assert stop.pc == busy[at].pc
            assert replay.registers() == busy.registers(at)
        stretch = (busy[0].position, busy[len(busy) - 1].position)
        found = [hit.position.icount for hit in replay.writes(counter, 8, *stretch)]
        assert found == changes
    assert not qemus_in(tmp_path)
    with WorkFolder():
        pass  # whoever comes next sweeps what they have left


def starts_of(replay: Replay) -> list[int]:
    """Where its machines are started from now on."""
    began: list[int] = []
    start = replay._launcher.start

    async def noted(snapshot: Snapshot, *rest: Any, **more: Any) -> Any:
        began.append(snapshot.icount)
        return await start(snapshot, *rest, **more)

    replay._launcher.start = noted  # type: ignore[method-assign]
    return began


def wait_for(condition: Callable[[], bool]) -> None:
    """Until another thread has done something."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_snapshots_that_others_use_stay(workload: Path, tmp_path: Path) -> None:
    root = shutil.copytree(workload, tmp_path / "workload")
    with rrdbg.open(root, gdb=None) as writer:
        writer.seek("90%")
        writer.run("snapshot here")  # the replay is short, and may have left none
        files = set((root / "snapshots").iterdir())
        with rrdbg.open(root, gdb=None) as beside:
            assert not beside.beneath.cursor.recording.first
            keeper = writer.beneath.cursor._keeper
            known = [
                snapshot for snapshot in keeper.timeline.snapshots if snapshot.icount > 1
            ]  # which is laid anew at once
            assert known
            keeper.shelf.drop(*known)
            assert set((root / "snapshots").iterdir()) == files, "they are left for the one that has them"
            there = known[-1].icount
            assert beside.seek(there + 10).position.icount == there + 10
    with rrdbg.open(root, gdb=None):
        dropped = {root / name for snapshot in known for name in snapshot.files}
        assert dropped.isdisjoint((root / "snapshots").iterdir()), "and are swept when nobody has them"


def test_each_sees_at_once_what_another_one_finds(
    workload: Path, workload_guest: Path, busy: Oracle, tmp_path: Path
) -> None:
    root = shutil.copytree(workload, tmp_path / "workload")
    counter = symbol(workload_guest, "counter").address
    with rrdbg.open(root, gdb=None, jobs=1) as one, rrdbg.open(root, gdb=None, jobs=1) as other:
        made_at: list[int] = []
        for maker, seer in ((other, one), (one, other)):
            place = 50 if maker is one else 100
            at = busy[place].position
            maker.seek(at)
            name = f"of{len(made_at)}"
            maker.run(f"snapshot {name}")
            cursor = seer.beneath.cursor
            timeline = maker.beneath.cursor.timeline
            [made] = [known for known in timeline.snapshots if known.name == name]
            [listed] = seer.run("info snapshots")
            assert isinstance(listed, Snapshots)
            assert made in listed.snapshots
            began = starts_of(cursor)
            stop = seer.seek(at)
            assert stop.pc == busy[place].pc
            assert seer.registers() == busy.registers(place)
            maker.run("bookmark there")
            assert seer.bookmarks["there"].position == at
            seer.run("delete bookmark there")
            assert "there" not in maker.bookmarks
            assert began == [made.icount]
            made_at.append(made.icount)
        stretch = (busy[0].position, busy[len(busy) - 1].position)
        places = [hit.position for hit in other.writes(counter, 8, *stretch)]
        assert places

        def known_to_one() -> bool:
            one.run("info snapshots")  # any command takes up what others have found
            known = one.beneath.cursor.hits.index.points.get(PointKey.of(Watchpoint(0, counter, 8)))
            found = [hit.position for hit in known.hits] if known else []
            # More than what was asked for may have been searched.
            return sum(stretch[0] < position <= stretch[1] for position in found) == len(places)

        wait_for(known_to_one)
        assert [hit.position for hit in one.writes(counter, 8, *stretch)] == places
    with rrdbg.open(root, gdb=None) as replay:
        assert [hit.position for hit in replay.writes(counter, 8, *stretch)] == places
