"""``rrdbg bisect-boot``: two recordings of one guest, and where single steps say that they part."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.machines.digest import state_digest
from rrdbg.engine.machines.launcher import Launcher
from rrdbg.model.timeline.events import EventKind
from rrdbg.model.timeline.position import Position
from rrdbg.store.history import history
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from tests.cli.conftest import Cli, bare_metal
from tests.conftest import GUEST_DIR
from tests.guests.build import build, symbol
from tests.oracle import observe

_DATE = ("-rtc", "base=2026-01-01T00:00:00")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, workload_guest: Path) -> tuple[Path, Path]:
    """Two recordings of workload whose command lines for the guest differ; not to be changed but by snapshots."""
    root = tmp_path_factory.mktemp("pair")
    made = root / "good", root / "bad"
    for path in made:
        Cli(root)(
            "record", "--no-check", "-o", str(path), "--", *bare_metal(workload_guest), *_DATE, "-append", path.name
        )
    return made


def compared(cli: Cli, pair: tuple[Path, Path], *words: str, check: int = 0) -> dict[str, dict[str, Any]]:
    done = cli("bisect-boot", "--good", str(pair[0]), "--bad", str(pair[1]), "--json", "--no-gdb", *words, check=check)
    return {item["kind"]: item for item in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="module")
def parted(pair: tuple[Path, Path]) -> dict[str, Any]:
    """How their states part."""
    return compared(Cli(pair[0].parent), pair, "--compare", "state")["state"]


async def digest_after(root: Path, place: Position, steps: int) -> str:
    """The checksum of the state some steps behind ``place``, by a machine that knows nothing of travel."""
    with Recording.open(root) as recording:
        launcher = await Launcher.create(recording)
        timeline = load_timeline(recording)
        walker, _ = await launcher.start(timeline.snapshots[0], timeline)
        try:
            await walker.run_to(timeline.landing_before(place))
            await walker.walk_to(place)
            for _ in range(steps):
                await walker.step()
            return await state_digest(walker.machine)
        finally:
            await walker.machine.close()
            await launcher.close()


def test_where_their_states_part(pair: tuple[Path, Path], parted: dict[str, Any]) -> None:
    before = Position(parted["before"]["icount"], parted["before"]["phase"])
    for steps, same in ((0, True), (1, False)):
        digests = [asyncio.run(digest_after(path, before, steps)) for path in pair]
        assert (digests[0] == digests[1]) is same
    assert parted["registers"] or parted["memory"]


def test_where_their_ways_part(cli: Cli, pair: tuple[Path, Path]) -> None:
    # Where one takes an interrupt and the other does not, they go different ways.
    interrupts = zip(*(history(path / "replay.bin", {EventKind.INTERRUPT}) for path in pair), strict=False)
    apart = (
        next(min(pair).icount for pair in ((a.position, b.position) for a, b in interrupts) if pair[0] != pair[1]) + 20
    )
    found = compared(cli, pair, "--compare", "flow", "--to", str(apart))["flow"]
    before = found["before"]["icount"]
    ways = [asyncio.run(observe(path, before - 40, 60)).entries for path in pair]
    steps = list(zip(*([(entry.position, entry.pc) for entry in way] for way in ways), strict=True))
    first = next(at for at, (ours, theirs) in enumerate(steps) if ours != theirs)
    assert steps[first - 1][0][0] == Position(before, found["before"]["phase"])
    assert steps[first][0] != steps[first][1]
    assert [after["icount"] for after in found["after"]] == [step[0].icount for step in steps[first]]


def test_two_builds_that_differ_in_one_constant(cli: Cli, tmp_path: Path) -> None:
    """The ways part at the jump behind the comparison with it, in the one round where it matters."""
    elves = [build("copies", GUEST_DIR), build("copies", GUEST_DIR, "LIMIT=41")]
    pair = tmp_path / "good", tmp_path / "bad"
    for path, elf in zip(pair, elves, strict=True):
        cli("record", "--no-check", "-o", str(path), "--", *bare_metal(elf), *_DATE)
    found = compared(cli, pair, "--compare", "flow")["flow"]
    before = Position(found["before"]["icount"], found["before"]["phase"])
    main = symbol(elves[0], "main")
    good, bad = [asyncio.run(observe(path, before.icount, 1)) for path in pair]
    assert good[0].pc == bad[0].pc
    assert main.address <= good[0].pc < main.address + main.size
    assert good[1].pc != bad[1].pc
    rounds = [oracle.registers(0)["rbx"] for oracle in (good, bad)]
    assert rounds == [41, 41], "the first one beyond the limit of the good build"


def test_as_text_with_symbols(pair: tuple[Path, Path], parted: dict[str, Any]) -> None:
    near = ("--from", str(parted["before"]["icount"] - 9), "--to", str(parted["before"]["icount"] + 1))
    both = ("--good", str(pair[0]), "--bad", str(pair[1]))
    done = Cli(pair[0].parent)("bisect-boot", *both, "--compare", "state", "-q", *near)
    assert "Registers and memory are the same up to" in done.stdout
    assert "The first event from outside that is not in both recordings:" in done.stdout
    # Snapshots that other tests have left, with a library of their own, are not believed.
    assert all("not made here" in line for line in done.stderr.splitlines())


def test_a_recording_and_its_copy_do_not_part(cli: Cli, pair: tuple[Path, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(pair[0], tmp_path / "copy"))
    # Not their states: QEMU tells such a guest the path of its kernel.
    both = ("--good", str(pair[0]), "--bad", str(copy))
    done = cli("bisect-boot", *both, "--no-gdb", "--compare", "flow", check=3)
    assert "The same interrupts, input and packets come at the same places in both recordings." in done.stdout
    assert "the two are the same" in done.stderr
    # One opens it beside the other.
    done = cli("bisect-boot", "--good", str(copy), "--bad", str(copy), "--no-gdb", "--compare", "flow", check=3)
    assert "the two are the same" in done.stderr


def test_guests_that_cannot_be_compared(
    cli: Cli, pair: tuple[Path, Path], workload_guest: Path, tmp_path: Path
) -> None:
    cli(
        "record",
        "--no-check",
        "-o",
        str(tmp_path / "large"),
        "--max-icount",
        "1e6",
        "--",
        *bare_metal(workload_guest),
        "-m",
        "32M",
    )
    done = cli("bisect-boot", "--good", str(pair[0]), "--bad", str(tmp_path / "large"), "--no-gdb", check=2)
    assert "have their RAM at different addresses" in done.stderr
