"""``rrdbg hunt``: what it finds, keeps and drops, how it ends, and that it leaves nothing behind."""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.hunt.attempt import Guest, LocalTries, Tried, attempt, course_of
from rrdbg.engine.hunt.explainer import Explainer
from rrdbg.engine.hunt.hunter import Hunter, HuntRequest, Reason, Run
from rrdbg.engine.making.recorder import Recorded
from rrdbg.engine.replay import Replay
from rrdbg.frontends.cli.main import main
from rrdbg.frontends.hunt.judging import CriteriaJudge
from rrdbg.frontends.hunt.report import Report
from rrdbg.model.hunt.course import Course
from rrdbg.model.hunt.criterion import Criterion
from rrdbg.model.hunt.explanation import Explanation
from rrdbg.model.hunt.perturbation import Aspect, Choices, Perturbation
from rrdbg.model.hunt.tally import Tally
from rrdbg.model.timeline.deliveries import Deliveries
from rrdbg.store.layout import Layout
from rrdbg.store.library import Library
from rrdbg.store.recording import Recording, adopt
from tests.cli.conftest import Cli, bare_metal
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.build import build, symbol
from tests.processes import command_line, qemus_in, wait_until_gone

BOOTS = ("--no-check", "--json", "--jobs", "2", "--timeout", "20")
SEEDED = ("--vary", "idle,firmware,shift", "--jobs", "1")
PANIC = ("--until-console", "PANIC")
MOON = ("--until-console", "moon", "--done-console", "PANIC")
"""Nobody prints that."""


@dataclass(frozen=True)
class Hunted:
    """What one ``rrdbg hunt`` has told, and the library that it kept recordings in."""

    runs: list[dict[str, Any]]
    end: dict[str, Any]
    library: Path

    @property
    def found(self) -> dict[str, Any]:
        """The first that was kept and can be repeated."""
        return next(run for run in self.runs if run["recording"] and "idle" in run["perturbation"])

    @property
    def recordings(self) -> list[str]:
        return sorted(path.name for path in self.library.glob("hunt-*") if (path / "manifest.json").exists())

    @property
    def left(self) -> list[Path]:
        return [path for path in self.library.iterdir() if "rrdbg-" in path.name]


Hunt = Callable[..., Hunted]


@pytest.fixture(scope="module")
def racy() -> Path:
    """A guest whose check and use are so far apart that an interrupt comes in between in about each third run."""
    with failing_clearly("check_use"):
        return build("check_use", GUEST_DIR, "ROUNDS=2", "GAP=2000")


@pytest.fixture
def hunt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Hunt:
    """Hunt in this process."""
    library = tmp_path / "library"
    monkeypatch.setenv("RRDBG_DIR", str(library))

    def run(elf: Path, *words: str, check: int = 0) -> Hunted:
        status = main(["hunt", *BOOTS, *words, "--", *bare_metal(elf)])
        told = capsys.readouterr()
        assert status == check, told.err
        *runs, end = map(json.loads, told.out.splitlines())
        return Hunted(sorted(runs, key=lambda item: item["number"]), end, library)

    return run


@pytest.fixture(scope="module")
def found_one(tmp_path_factory: pytest.TempPathFactory, racy: Path) -> Hunted:
    """A hunt to its first failure."""
    cli = Cli(tmp_path_factory.mktemp("found") / "library")
    done = cli("hunt", *BOOTS, *SEEDED, *PANIC, "--seed", "2:1", "--keep", "4", "--no-explain", "--", *bare_metal(racy))
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return Hunted([item for item in told if item["kind"] == "run"], {item["kind"]: item for item in told}, cli.root)


def test_a_failure_is_found_and_kept(found_one: Hunted) -> None:
    found = found_one.found
    kept = found_one.end["hunt"]["kept"]
    assert kept == [str(found_one.library / f"hunt-{number}") for number in range(1, 5)]
    assert found["recording"] in kept
    assert found_one.recordings == ["hunt-1", "hunt-2", "hunt-3", "hunt-4"]
    assert not found_one.left
    with Recording.open(Path(found["recording"]), trusted=True) as recording:
        manifest = recording.manifest
        assert manifest.ended == "the console printed 'PANIC'"
        assert manifest.invocation.shift == str(found["perturbation"]["shift"])
        assert not manifest.invocation.sleeps


def test_the_seed_repeats_it(found_one: Hunted, hunt: Hunt, racy: Path) -> None:
    """To the instruction, as idle time ends at once."""
    again = hunt(racy, *SEEDED, *PANIC, "--no-explain", "--seed", found_one.found["seed"], "--runs", "1").found
    assert again["perturbation"] == found_one.found["perturbation"]
    first, second = (deliveries(Path(run["recording"])) for run in (found_one.found, again))
    assert len(first) > 10
    assert first[: len(second)] == second[: len(first)]


def deliveries(path: Path) -> list[int]:
    with Recording.open(path, trusted=True) as recording:
        return list(recording.log.deliveries.icounts)


def test_each_kind_of_criterion_is_asked_at_the_end(found_one: Hunted, hunt: Hunt, racy: Path, tmp_path: Path) -> None:
    """Of a run that can be repeated: each tells that it has failed, and its contrary that it has not."""
    script = tmp_path / "check.py"
    script.write_text(
        "def panicked(replay):\n    return any('PANIC' in line.text for line in replay.console())\n"
        "def calm(replay):\n    return not panicked(replay)\n"
    )
    address = symbol(racy, "panicked").address
    words = (*SEEDED, "--seed", found_one.found["seed"], "--runs", "1", "--no-explain", "--done-console", "PANIC")
    for criterion, contrary in (
        ("console=PANIC", "console=moon"),
        (f"memory={address:#x}:1==01", f"memory={address:#x}:1!=01"),
        ("expr=panicked == 1", "expr=panicked != 1"),
        (f"python={script}:panicked", f"python={script}:calm"),
        ("run=sh -c '! grep -q PANIC $RRDBG_RECORDING/console.log'", "run=true"),
    ):
        assert hunt(racy, *words, "--if", criterion).found["failed"].startswith(criterion)
        assert hunt(racy, *words, "--if", contrary, check=3).end["failures"] == 0


def test_nothing_is_found_where_nothing_fails(hunt: Hunt, racy: Path) -> None:
    hunted = hunt(racy, *MOON, "--runs", "3", "--minutes", "1", check=3)
    assert (hunted.end["ended"], hunted.end["runs"], hunted.end["kept"]) == ("runs", 3, [])
    assert hunted.end["endings"] == Counter(run["ended"] for run in hunted.runs)
    assert hunted.end["instructions"] == sum(run["icount"] for run in hunted.runs)
    assert not hunted.recordings
    assert not hunted.left


def test_runs_that_are_the_same_are_not_counted(hunt: Hunt, racy: Path) -> None:
    """All but the firmware is left alone, and idle time ends at once: what comes from the host makes no difference."""
    hunted = hunt(racy, *MOON, "--vary", "idle", "--seed", "3", "--runs", "8", "--jobs", "1", check=3)
    jumped = [run for run in hunted.runs if "idle" in run["perturbation"]]
    assert len(jumped) > 1
    assert [run["same_as"] for run in jumped[1:]] == [jumped[0]["number"]] * (len(jumped) - 1)
    assert hunted.end["same"] == sum(run["same_as"] is not None for run in hunted.runs)
    assert hunted.end["different"] == 8 - hunted.end["same"]


def test_a_hunt_ends_when_enough_is_shown(hunt: Hunt, racy: Path) -> None:
    hunted = hunt(racy, *MOON, "--below", "1/3", "--confidence", "80", check=3)
    assert hunted.end["ended"] == "shown"
    assert hunted.end["different"] >= 4
    assert hunted.end["at_most"] < 1 / 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "When has a run failed?"),
        (["--if", "moon=1"], "--if moon=1: write KIND=VALUE"),
        (["--if", "memory=0x10"], "is not a test of memory"),
        (["--until-console", "X", "--runs", "0"], "--runs must be more than 0"),
        (["--until-console", "X", "--vary", "moon"], "'moon' is nothing that a hunt can vary"),
        (["--until-console", "X", "--seed", "x"], "--seed x: write a number"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hunt", *words, "--", *bare_metal(Path("none.elf"))]) == 2
    assert says in capsys.readouterr().err


def test_ctrl_c_keeps_what_was_found_and_leaves_nothing(tmp_path: Path, racy: Path) -> None:
    cli = Cli(tmp_path / "library")
    hunter = begin(cli, racy, "--keep", "1000", "--seed", "1")
    assert hunter.stdout is not None
    for line in hunter.stdout:
        if json.loads(line).get("recording"):
            break
    pids = wait_for_qemus(hunter, cli.root)
    hunter.send_signal(signal.SIGINT)
    told = hunter.communicate(timeout=30)
    assert hunter.returncode == 130, told
    end = json.loads(told[0].splitlines()[-1])
    assert end["ended"] == "interrupted"
    assert end["kept"]
    assert all((Path(path) / "manifest.json").exists() for path in end["kept"])
    assert not [pid for pid in pids if command_line(pid)]
    assert not list(cli.root.glob("rrdbg-*"))


def test_what_a_killed_hunt_leaves_is_removed_by_the_next(hunt: Hunt, tmp_path: Path, racy: Path) -> None:
    cli = Cli(tmp_path / "library")
    hunter = begin(cli, racy, *MOON)
    wait_for_qemus(hunter, cli.root)
    hunter.kill()
    hunter.communicate()
    wait_until_gone(cli.root)
    assert list(cli.root.glob("rrdbg-*"))
    assert not hunt(racy, *MOON, "--runs", "1", check=3).left


def begin(cli: Cli, elf: Path, *words: str) -> subprocess.Popen[str]:
    until = () if "--until-console" in words else ("--until-console", "PANIC")
    return cli.popen("hunt", *BOOTS, *until, *words, "--", *bare_metal(elf))


def wait_for_qemus(hunter: subprocess.Popen[str], library: Path) -> list[int]:
    """The pids of the QEMUs that record in ``library``, as soon as there are some."""
    deadline = time.monotonic() + 60
    while not (pids := [*qemus_in(library)]):
        assert time.monotonic() < deadline
        assert hunter.poll() is None
    return pids


@pytest.mark.parametrize(
    ("ended", "printed", "failed"),
    [
        ("the timeout of 5 s", "up", True),
        ("the timeout of 5 s", "up, done", False),  # it came while the recording was being ended
        ("the guest powered off", "up", False),
    ],
)
async def test_a_run_that_has_come_to_its_end_has_not_hung(
    tmp_path: Path, ended: str, printed: str, failed: bool
) -> None:
    (tmp_path / "console.log").write_text(printed)
    recorded = Recorded(tmp_path, 1, 1, 5.0, 0, ended, 0.0, Deliveries())
    judge = CriteriaJudge([Criterion("ended", "timeout")], argparse.Namespace(done_console="done"))
    assert await judge(recorded) == ("ended=timeout" if failed else None)


class _Panics:
    """A run has failed if it panicked."""

    async def __call__(self, recorded: Recorded) -> str | None:
        return "panic" if b"PANIC" in Layout(recorded.directory).console.read_bytes() else None


async def test_what_a_failure_needs_is_found_out(found_one: Hunted, racy: Path, tmp_path: Path) -> None:
    """The date and the random numbers can be left out, as this guest asks for neither; what is left fails again."""
    guest = Guest(bare_metal(racy), ("PANIC",), 20.0)
    judge, library = _Panics(), Library(tmp_path)
    whole = Perturbation(**found_one.found["perturbation"], date="2030-01-01T00:00:00", random=7)
    recorded = await attempt(guest, whole, tmp_path / "failed")
    assert await judge(recorded)
    tried_before = Tried(recorded.ended, recorded.icount, recorded.seconds, course_of(recorded), "panic")
    run = Run(1, whole, tried_before)
    tried: list[tuple[Perturbation, str | None]] = []
    explanation = await Explainer(guest, judge, library, lambda *item: tried.append(item)).explain(run, "passed")
    assert explanation.repeats
    assert tried[:3] == [(whole, "panic")] * 3
    needed = explanation.needed
    assert needed is not None
    assert (needed.date, needed.random) == (None, None)
    assert set(needed.aspects) < set(whole.aspects)
    if Aspect.IDLE in needed.aspects:  # or else chance has a part again
        assert await judge(await attempt(guest, needed, tmp_path / "again"))
    # The passing run that is most like the failed one was kept, if there was one.
    passing = [perturbation for perturbation, failed in tried if failed is None]
    assert (explanation.passed is None) == (not passing)
    if explanation.passed:
        assert explanation.passed == tmp_path / "passed-1"
        with Recording.open(tmp_path / "passed-1") as kept:
            course = Course.of(kept.log.deliveries, None)
            assert run.tried.course.common(course) == explanation.common
            assert b"PANIC" not in kept.layout.console.read_bytes()
    assert not list(tmp_path.glob("rrdbg-*"))


@pytest.mark.matrix
def test_the_first_failure_is_compared_with_a_run_that_passes(tmp_path: Path, racy: Path) -> None:
    """By the command line, to the function in which they go different ways."""
    cli = Cli(tmp_path / "library")
    done = cli("hunt", *BOOTS, *SEEDED, *PANIC, "--seed", "2:1", "--", *bare_metal(racy))
    told = {item["kind"]: item for item in map(json.loads, done.stdout.splitlines())}
    assert told["explanation"]["failed_again"] == told["explanation"]["tries"]
    assert told["events"]["first_different"]
    assert told["flow"]["good"]["function"] == told["flow"]["bad"]["function"] == "work"
    assert sorted(path.name for path in cli.root.glob("hunt-*")) == ["hunt-1", "hunt-1-passed-1"]


async def test_a_slow_disk_needs_nothing_to_be_replayed(workload_guest: Path, tmp_path: Path) -> None:
    """The throttle filter is the recording QEMU's alone."""
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    drive = f"file={tmp_path}/disk.img,format=raw,if=virtio"
    guest = Guest((*bare_metal(workload_guest), "-drive", drive), timeout=30.0)
    path = (await attempt(guest, Perturbation(disk=200), tmp_path / "slow")).directory
    adopt(path)
    async with await Replay.open(path) as replay:
        assert "throttle" not in " ".join(replay.recording.manifest.invocation.machine_words())
        await replay.seek(replay.timeline.end)
        assert b"done" in replay.recording.layout.console.read_bytes()
        assert replay.position == replay.timeline.end


def hunter_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tally: Tally, elapsed: float, **limits: float | None
) -> Hunter:
    """A hunt that has got so far after ``elapsed`` seconds."""
    request = HuntRequest(Guest(("qemu-system-x86_64",)), 1, Choices(), **limits)  # type: ignore[arg-type]  # as the tests have them
    hunter = Hunter(request, LocalTries(_Panics(), 2), Library(tmp_path), "hunt")
    hunter.tally = tally
    hunter.began = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0 + elapsed)
    return hunter


@pytest.mark.parametrize(
    ("tally", "elapsed", "limits", "left"),
    [
        (Tally(), 5.0, {}, None),
        (Tally(), 5.0, {"below": 0.001}, None),  # nothing tells how fast runs are
        (Tally(), 5.0, {"seconds": 60.0}, 55.0),
        (Tally(100), 50.0, {"runs": 300}, 100.0),
        # 2,995 different runs without a failure show it, and only every second one of these 1,000 was different.
        (Tally(1000, 0, 500), 100.0, {"below": 0.001}, 2495 * 0.2),
        (Tally(1000, 0, 500), 100.0, {"below": 0.001, "confidence": 0.99}, (4603 - 500) * 0.2),
        (Tally(100), 10.0, {"below": 0.5, "confidence": 0.9}, 0.0),
        # Where one has failed nobody knows when, or whether, it will be shown.
        (Tally(1000, 1), 100.0, {"below": 0.001}, None),
        (Tally(1000, 1), 100.0, {"below": 0.001, "runs": 1010}, 1.0),
        (Tally(1000), 100.0, {"below": 0.001, "seconds": 130.0}, 30.0),
        (Tally(10), 100.0, {"seconds": 60.0}, 0.0),
    ],
)
def test_how_long_it_takes_to_the_wanted_confidence(
    tally: Tally, elapsed: float, limits: dict[str, float], left: float | None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    found = hunter_at(monkeypatch, tmp_path, tally, elapsed, **limits).seconds_left
    assert found == (None if left is None else pytest.approx(left))


def test_the_line_and_the_table_show_what_was_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("rrdbg.frontends.shared.progress.ProgressLine.show", lambda self, text: shown.append(text))
    hunter = hunter_at(monkeypatch, tmp_path, Tally(1000, 0, 500), 100.0, below=0.001)
    hunter.instructions = 3_000_000_000
    report = Report(json=False, quiet=True)
    report.begin(hunter)
    report.show()
    (line,) = shown
    assert line == (
        "[1,000 runs  500 different  500 the same  0 failed  600 a minute, 30 M instructions a second  "
        "at most 0.597 % fail  499 s left at most (Ctrl-C stops)]"
    )
    report.end(Reason.TIME)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "The hunt has ended: the time is up."
    assert re.split(r"  +", told[1].strip()) == [
        "Runs", "Different", "The same", "Failed", "Rate", "At most (95 % sure)", "A minute", "Instructions/s",
        "Seconds",
    ]  # fmt: skip
    assert re.split(r"  +", told[2].strip()) == [
        "1,000", "500", "500", "0", "0.00 %", "0.597 %", "600", "30 M", "100.0",
    ]  # fmt: skip


def test_a_failure_that_needs_no_perturbation_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    tried = Tried("the guest panicked", 1, 1.0, Course.of(Deliveries(), 1), "panic")
    run = Run(1, Perturbation(shift=3), tried)
    Report(json=False, quiet=True).explained(run, Explanation(3, 3, Perturbation()))
    assert "each plain run may fail" in capsys.readouterr().out
    Report(json=False, quiet=True).explained(run, Explanation(3, 3, Perturbation(shift=3)))
    assert "What that needs of it: shift=3." in capsys.readouterr().out
