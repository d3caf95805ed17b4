"""Places where a guest shares memory with what interrupts it: which those are, and how a hunt draws from them."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from rrdbg.engine.hunt.attempt import Guest, Tried, attempt, course_of
from rrdbg.engine.hunt.beginnings import Beginnings
from rrdbg.engine.hunt.explainer import Explainer
from rrdbg.engine.hunt.hunter import Hunter, HuntRequest, Run
from rrdbg.engine.hunt.lookout import look
from rrdbg.engine.making.recorder import Recorded, Recorder, RecordRequest
from rrdbg.engine.replay import Replay
from rrdbg.frontends.cli.main import main
from rrdbg.model.hits.stop import Breakpoint, StopReason
from rrdbg.model.hunt.course import Course
from rrdbg.model.hunt.perturbation import IN_THE_MIDDLE, Aspect, Choices, Perturbation
from rrdbg.model.hunt.places import LATE_MS, Places
from rrdbg.model.hunt.sharing import Sharing, Touch
from rrdbg.model.timeline.deliveries import Deliveries, Delivery
from rrdbg.model.timeline.position import Position
from rrdbg.store.layout import Layout
from rrdbg.store.library import Library
from rrdbg.store.recording import Recording, adopt
from tests.cli.conftest import bare_metal
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.build import build, symbol

SHARED, OWN, STACK = 0x1000, 0x2000, 0x3000


def touches(*accesses: tuple[int, int, bool]) -> list[tuple[Touch, int, bool]]:
    """Of an instruction at each icount, an address, and whether that is written."""
    return [(Touch(icount, 0x100 + icount), address, writes) for icount, address, writes in accesses]


def test_memory_is_shared_where_one_side_reads_what_the_other_has_written() -> None:
    sharing = Sharing()
    sharing.runs(touches((1, SHARED, True), (2, OWN, True), (3, OWN, False), (4, STACK, True)))
    sharing.interrupts([(9, SHARED + 4, False), (9, STACK, True), (9, STACK, False)])
    sharing.runs(touches((11, STACK, True), (12, STACK, False), (13, OWN, False)))
    sharing.interrupts([(0x101, SHARED, True)])
    sharing.runs(touches((21, SHARED, False), (21, SHARED, True), (22, OWN, True)))
    first, last = Touch(1, 0x101, common=True), Touch(21, 0x115)
    assert sharing.places() == [[first], [last]]


def drawn(places: Places, seed: int, count: int) -> list[tuple[int, int] | None]:
    return [places.of_run(seed, number) for number in range(1, count + 1)]


def test_each_place_is_drawn_and_none_twice_and_the_seed_repeats_it() -> None:
    stretches = [[Touch(icount, icount % 7) for icount in range(start, start + 10)] for start in (0, 100)]
    every = drawn(Places(stretches), 5, 81)
    assert every[-1] is None  # nothing new is left
    made = [one for one in every if one]
    assert len(set(made)) == len(made) > 70
    assert {icount for icount, _ in made} == {*range(10), *range(100, 110)}
    assert {late for _, late in made} == {late * 1_000_000 for late in LATE_MS}
    again = Places(stretches)
    assert again.of_run(5, 40) == every[39]  # also where it is the first that is asked for
    assert drawn(again, 5, 81) == every
    assert drawn(Places(stretches), 6, 10) != every[:10]
    assert drawn(Places([]), 5, 1) == [None]


def test_most_runs_have_a_place_of_their_own() -> None:
    places = Places([[Touch(icount, icount) for icount in range(200)]])
    choices = Choices(IN_THE_MIDDLE, places=places)
    made = [choices.of_run(1, number) for number in range(13)]
    assert made[0] == Perturbation()
    assert [number for number, one in enumerate(made) if one.place is None] == [0, 4, 8, 12]
    assert all((one.place, one.later) == drawn(places, 1, 20)[number - 1 - number // 4]
               for number, one in enumerate(made) if one.place is not None)  # fmt: skip
    assert all(one.shift is None for one in made if one.place is not None)


class _Alike:
    """Each run is interrupted at the same number of instructions behind where it begins."""

    jobs = 1

    async def make(self, guest: Guest, perturbation: Perturbation, directory: Path) -> Tried:
        return Tried("timeout", 100, 0.1, Course.of(Deliveries.of([(50, Delivery.INTERRUPT)]), None))

    async def close(self) -> None:
        """Nothing is under way."""


async def test_what_begins_elsewhere_is_no_repetition(tmp_path: Path) -> None:
    places = Places([[Touch(icount, icount) for icount in range(1000, 1200)]])
    request = HuntRequest(Guest(["qemu-system-x86_64"]), 1, Choices((Aspect.PLACE,), places=places), runs=13)
    runs: list[Run] = []
    hunter = Hunter(request, _Alike(), Library(tmp_path), "hunt", on_run=runs.append)
    await hunter.run()
    first: dict[int | None, int] = {}
    for run in runs:
        earlier = first.setdefault(run.perturbation.place, run.number)
        assert run.same_as == (None if earlier == run.number else earlier)
    assert len(first) > 5


@pytest.fixture(scope="module")
def racy() -> Path:
    with failing_clearly("check_use"):
        return build("check_use", GUEST_DIR)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, racy: Path) -> Path:
    """A recording whose idle time ends at once, so that it is the same each time."""
    directory = tmp_path_factory.mktemp("source") / "source"
    asyncio.run(Recorder(RecordRequest(bare_metal(racy), directory, sleeps=False)).run())
    adopt(directory)
    return directory


async def test_places_are_where_the_guest_touches_what_its_timer_does(source: Path, racy: Path) -> None:
    take, main_ = (symbol(racy, name).address for name in ("take", "main"))
    async with await Replay.open(source) as replay:
        stop = await replay.cont([Breakpoint(1, main_)])
        assert stop.reason is StopReason.BREAKPOINT
        start = replay.position.icount
        stretches = await look(replay, start)
        assert replay.position.icount == start
        found = [touch for stretch in stretches for touch in stretch]
        assert all(touch.icount > start for touch in found)
        # The look at `pending`, before which nobody may come, is one: at its very icount, as a single step tells.
        looks = [touch for touch in found if touch.pc == take]
        assert len(looks) > 5
        for touch in looks[:3]:
            await replay.seek(Position(touch.icount - 1))
            assert await replay.pc() == touch.pc
        # What is the guest's alone is none.
        assert len({touch.pc for touch in found}) < 60


async def failing_place(replay: Replay, racy: Path) -> tuple[int, int]:
    """Behind a look at `pending` and before its use, where an interrupt makes the guest fail; and where `main` begins.

    Only where the timer has not taken the request back the next access is its use.
    """
    looks = symbol(racy, "take").address
    await replay.cont([Breakpoint(1, symbol(racy, "main").address)])
    start = replay.position.icount
    pairs = (pair for each in await look(replay, start) for pair in pairwise(each) if pair[0].pc == looks)
    return next(look_.icount for look_, use in pairs if 0 < use.pc - looks < 16), start


async def test_a_run_that_begins_at_a_place_is_interrupted_there(source: Path, racy: Path, tmp_path: Path) -> None:
    """At once, behind the look at `pending` and before its use: the guest fails."""
    async with await Replay.open(source) as replay:
        place, _ = await failing_place(replay, racy)
        guest = Guest(["qemu-system-x86_64"], ("PANIC",), 30.0, beginnings=Beginnings(replay))
        recorded = await attempt(guest, Perturbation(idle="jump", place=place, later=1_000_000), tmp_path / "try")
    assert recorded.deliveries.icounts[0] <= 1
    assert recorded.ended == "the console printed 'PANIC'"
    with Recording.open(recorded.directory, trusted=True) as recording:
        assert recording.manifest.begins_in == f"source at {place:,}"


@pytest.mark.matrix
async def test_a_failure_needs_its_place_and_is_compared_with_what_begins_there(
    source: Path, racy: Path, tmp_path: Path
) -> None:
    """Without the place no interrupt comes there, and without the delay none comes at once."""
    async with await Replay.open(source) as replay:
        place, start = await failing_place(replay, racy)
        beginnings = Beginnings(replay)
        guest = Guest(
            ["qemu-system-x86_64"], ("PANIC", "done"), 30.0,
            beginning=await beginnings.at(start), beginnings=beginnings,
        )  # fmt: skip
        whole = Perturbation(idle="jump", place=place, later=1_000_000)
        recorded = await attempt(guest, whole, tmp_path / "failed")
        assert await panics(recorded)
        run = Run(1, whole, Tried(recorded.ended, recorded.icount, recorded.seconds, course_of(recorded), "panic"))
        tried: list[tuple[Perturbation, str | None]] = []
        explainer = Explainer(guest, panics, Library(tmp_path), lambda *item: tried.append(item))
        explanation = await explainer.explain(run, "passed")
    assert explanation.repeats
    assert explanation.needed is not None
    assert {Aspect.PLACE, Aspect.LATER} <= set(explanation.needed.aspects) <= set(whole.aspects)
    assert (whole.without(Aspect.PLACE), None) in tried
    assert explanation.passed is not None
    with Recording.open(Path(explanation.passed), trusted=True) as recording:
        assert recording.manifest.begins_in == f"source at {place:,}"
        assert b"PANIC" not in recording.layout.console.read_bytes()


async def panics(recorded: Recorded) -> str | None:
    return "panic" if b"PANIC" in Layout(recorded.directory).console.read_bytes() else None


def test_a_cluster_has_one_place_for_all(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RRDBG_DIR", str(tmp_path / "library"))
    words = ("--dask", "tcp://127.0.0.1:9", "--from", f"{source}@50%", "--vary", "place", "--until-console", "X")
    assert main(["hunt", *words]) == 2
    assert "all runs begin at one place" in capsys.readouterr().err
