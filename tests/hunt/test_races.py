"""Guests with races that a plain boot shows in less than 1 of 500 runs: hunted for as a user would."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import rrdbg
from rrdbg.model.timeline.position import Position
from rrdbg.store.history import Console
from rrdbg.store.layout import Layout
from rrdbg.store.recording import Recording
from tests.cli.conftest import Cli, bare_metal
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.build import build
from tests.guests.linux.refcount import build_refcount

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(2400)]

RARE = 1 / 500
PLAIN_RUNS = 3000
LINUX = "refcount"


@dataclass(frozen=True)
class Race:
    """A guest, how it is hunted for, and the commands by which what was kept leads ``to`` the cause."""

    name: str
    criteria: Sequence[str]
    asked: Sequence[str]
    to: Sequence[str]


RACES = (
    Race("check_use", ["--until-console", "PANIC"], ["backtrace", "last pending"], ["take (", "on_timer ("]),
    Race(
        "lost_wakeup", ["--done-console", "done", "--if", "ended=timeout", "--timeout", "20"],
        ["backtrace", "last ended"], ["wait_for_device (", "on_timer ("],
    ),
    Race(
        LINUX, ["--until-console", "Kernel panic", "--done-console", "refcount: done", "--timeout", "30"],
        [
            "symbols MODULE", "break thing_use", "reverse-continue", "last ((struct thing *)$rdi)->alive", "backtrace",
        ],
        ["reader", "thing_put", "writer"],
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Hunted:
    """What a hunt has told."""

    runs: Sequence[dict[str, Any]]
    end: dict[str, Any]


def command_of(race: Race) -> Sequence[str]:
    with failing_clearly(race.name):
        return build_refcount(GUEST_DIR).command if race.name == LINUX else bare_metal(build(race.name, GUEST_DIR))


def begun(race: Race, cli: Cli) -> list[str]:
    """A place in a recording of a plain boot, where the guest's own code begins, and has set up no timer yet."""
    first = cli.root / "first"
    cli("record", "-q", "-o", str(first), "--until-console", f"{race.name}: done", "--", *command_of(race))
    if race.name == LINUX:
        layout = Layout(first)
        begins = Console.read(layout.log, layout.console).find(f"{race.name}: up", Position(-1))
        assert begins
    else:
        with rrdbg.open(first) as replay:
            begins = replay.cont(to="main").position
    return ["--from", f"{first}@{begins.icount}"]


def hunt(cli: Cli, race: Race, *words: str, expected: Sequence[int] = (0,)) -> Hunted:
    hunter = cli.popen("hunt", "--json", "--no-explain", *race.criteria, *words)
    told, complaints = hunter.communicate()
    assert hunter.returncode in expected, f"{told.splitlines()[-1:]} {complaints}"
    *runs, end = map(json.loads, told.splitlines())
    print(f"{race.name} {shlex.join(words)}: {end}")
    return Hunted(runs, end)


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
def test_a_rare_race_is_found_and_leads_to_its_cause_and_its_seed_repeats_it(race: Race, tmp_path: Path) -> None:
    """Within 15 minutes on two processors, with runs in which the host has no part."""
    cli = Cli(tmp_path / "library")
    repeatable = (*begun(race, cli), "--repeatable")
    hunted = hunt(cli, race, *repeatable, "--minutes", "15")
    assert not [path.name for path in cli.root.iterdir() if "rrdbg-" in path.name]
    check_cause(cli, race, hunted.end["kept"][0])
    found = next(run for run in hunted.runs if run["recording"])
    again = hunt(cli, race, *repeatable, "--seed", found["seed"], "--runs", "1")
    first, second = (deliveries(Path(path)) for path in (hunted.end["kept"][0], again.end["kept"][0]))
    # What comes behind the failure depends on when it is noticed.
    assert first
    assert first[: len(second)] == second[: len(first)]


def check_cause(cli: Cli, race: Race, kept: str) -> None:
    """What a user does with what was kept."""
    module = str(build_refcount(GUEST_DIR).module) if race.name == LINUX else ""
    asked = [command.replace("MODULE", module) for command in race.asked]
    words = [word for command in ("seek end", *asked) for word in ("-ex", command)]
    done = cli("replay", kept, "--batch", *words)
    for text in race.to:
        assert text in done.stdout, done.stdout + done.stderr


def deliveries(path: Path) -> list[int]:
    with Recording.open(path, trusted=True) as recording:
        return list(recording.log.deliveries.icounts)


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
def test_it_is_rare_in_plain_boots(race: Race, tmp_path: Path) -> None:
    """As the host lets them differ, which decides when idle time ends. Of Linux one boot goes on again and again."""
    cli = Cli(tmp_path / "library")
    counting = ("--vary", "none", "--runs", str(PLAIN_RUNS), "--go-on")
    guest = begun(race, cli) if race.name == LINUX else ["--", *command_of(race)]
    hunted = hunt(cli, race, *counting, *guest, expected=(0, 3))
    assert hunted.end["failures"] / hunted.end["different"] < RARE, hunted.end
