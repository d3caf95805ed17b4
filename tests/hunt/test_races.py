"""Guests with races that a plain boot shows in less than 1 of 500 runs: hunted for as a user would."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, bare_metal
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.build import build

RARE = 1 / 500

RACES = {
    "check_use": (["--until-console", "PANIC"], "take ("),
    "lost_wakeup": (["--done-console", "done", "--if", "ended=timeout", "--timeout", "20"], "wait_for_device ("),
}
"""How each is hunted for, and where it is found to stand."""


@pytest.mark.matrix
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("race", RACES)
def test_a_rare_race_is_found_and_leads_to_its_cause(race: str, tmp_path: Path) -> None:
    """Within 15 minutes on two processors; what was kept stands in the function that has the gap."""
    with failing_clearly(race):
        elf = build(race, GUEST_DIR)
    words, where = RACES[race]
    cli = Cli(tmp_path / "library")
    hunter = cli.popen("hunt", *words, "--minutes", "15", "--json", "--no-explain", "--", *bare_metal(elf))
    told, complaints = hunter.communicate()
    *_, end = map(json.loads, told.splitlines())
    assert hunter.returncode == 0, f"{end} {complaints} {shlex.join(words)}"
    assert "rrdbg-" not in " ".join(path.name for path in cli.root.iterdir())
    stack = cli("replay", end["kept"][0], "--batch", "-ex", "seek end", "-ex", "backtrace").stdout
    assert where in stack


@pytest.mark.matrix
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("race", RACES)
def test_it_is_rare_in_plain_boots(race: str, tmp_path: Path) -> None:
    with failing_clearly(race):
        elf = build(race, GUEST_DIR)
    words, _ = RACES[race]
    counting = ("--vary", "none", "--runs", "1500", "--go-on", "--json", "--no-explain")
    hunter = Cli(tmp_path / "library").popen("hunt", *words, *counting, "--", *bare_metal(elf))
    told, complaints = hunter.communicate()
    *_, end = map(json.loads, told.splitlines())
    assert hunter.returncode in (0, 3), complaints
    assert end["failures"] / end["runs"] < RARE, end
