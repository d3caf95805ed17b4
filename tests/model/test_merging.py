"""What two sessions have found since they began with the same timeline."""

from __future__ import annotations

from dataclasses import replace

from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.cost import CostMap, Piece
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.mark import Mark
from rrdbg.model.timeline.merging import merged
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind


def snapshot(icount: int, kind: SnapshotKind = SnapshotKind.PERIODIC) -> Snapshot:
    return Snapshot(icount, f"rrdbg-{icount}", kind, (f"snapshots/{icount}.state",))


BEFORE = Timeline(
    Position(1000),
    snapshots=(snapshot(0, SnapshotKind.INITIAL), snapshot(100), snapshot(200)),
    bookmarks={"old": Bookmark(Position(1)), "gone": Bookmark(Position(2))},
    cost=CostMap((Piece(0, 100, 1.0),)),
)


def test_both_are_kept() -> None:
    mine = BEFORE.with_snapshot(snapshot(300)).with_mark("stops", Mark(Position(5), "mine"))
    mine = replace(mine, cost=mine.cost.with_piece(Piece(100, 200, 2.0)), bookmarks={"old": Bookmark(Position(3))})
    theirs = BEFORE.with_snapshot(snapshot(400)).with_mark("stops", Mark(Position(6), "theirs"))
    theirs = replace(theirs, cost=theirs.cost.with_piece(Piece(150, 300, 3.0)))
    both = merged(BEFORE, mine, theirs)
    assert [known.icount for known in both.snapshots] == [0, 100, 200, 300, 400]
    assert both.bookmarks == {"old": Bookmark(Position(3))}, "changed by one, and one taken away"
    assert {mark.text for mark in both.marks["stops"]} == {"mine", "theirs"}
    assert both.cost.measured == 300
    assert both.cost.seconds(150, 300) == 3.0, "what they have measured stays"
    assert merged(BEFORE, BEFORE, theirs) == theirs
    assert merged(theirs, both, theirs) == both


def test_of_one_snapshot_each_has_learned_something() -> None:
    mine = BEFORE.with_snapshot(replace(snapshot(100), load_seconds=0.5)).without_snapshot(200)
    theirs = BEFORE.with_snapshot(replace(snapshot(100), sound=True))
    both = merged(BEFORE, mine, theirs)
    assert both.snapshot_at(100) == replace(snapshot(100), load_seconds=0.5, sound=True)
    assert both.snapshot_at(200) is None
    theirs = theirs.with_snapshot(replace(snapshot(200), kind=SnapshotKind.NAMED, name="mine"))
    kept = merged(BEFORE, mine, theirs).snapshot_at(200)
    assert kept
    assert kept.name == "mine", "who drops it did not know"


def test_at_one_place_the_users_own_stays() -> None:
    named = replace(snapshot(300, SnapshotKind.NAMED), name="here")
    for mine, theirs in ((snapshot(300), named), (named, snapshot(300))):
        both = merged(BEFORE, BEFORE.with_snapshot(mine), BEFORE.with_snapshot(theirs))
        assert both.snapshot_at(300) == named
