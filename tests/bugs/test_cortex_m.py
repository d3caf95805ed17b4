"""The case study of docs/howto/cortex-m.md: its commands, in their order, find what it says."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from rrdbg.model.timeline.position import Position
from tests.cli.conftest import Cli
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.build import symbol
from tests.guests.rtos import build_rtos
from tests.oracle import observe

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "cortex-m.md"
_PROMPT = re.compile(r"^    [\d.]+% [\d,]+> (.+)$", re.MULTILINE)
_BLOCK, _NEXT = 0x2000_0110, 12
"""The sensor's control block, and where its ``next`` is in it."""


@pytest.fixture(scope="module")
def elf() -> Path:
    with failing_clearly("rtos"):
        return build_rtos("mps2-an385", GUEST_DIR)


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, elf: Path) -> Path:
    """The recording, made as the page says."""
    folder = tmp_path_factory.mktemp("station")
    shutil.copy(elf, folder / "rtos.elf")
    match = re.search(r"\$ rrdbg record (.*?)\\\n(.*)\n", PAGE.read_text())
    assert match
    assert match[1].split() == ["-o", "station", "--until-console", '"HARD', 'FAULT"', "--"]
    command = [word.replace("rtos.elf", str(folder / "rtos.elf")) for word in match[2].split()]
    Cli(folder / "library")("record", "-o", str(folder / "station"), "--until-console", "HARD FAULT", "--", *command)
    return folder / "station"


def test_the_commands_of_the_page_lead_to_the_cause(station: Path, elf: Path, tmp_path: Path) -> None:
    commands = _PROMPT.findall(PAGE.read_text())
    assert len(commands) == 14
    cli = Cli(tmp_path / "library")
    words = [word for command in commands for word in ("-ex", command)]
    done = cli("replay", str(station), "--batch", *words)
    assert not done.stderr.replace("\r", "").strip() or "Ctrl-C stops" in done.stderr
    shown = done.stdout
    for line in (
        "hard_fault_handler () at main.c",
        "pendsv_handler () at rtos.c",
        "0x24d <hard_fault_handler>",
        "in choose_task () at rtos.c",
        '"printer", next = 0x20000110 <heap+256>',
        "stmia\tr0!, {r4, r5, r6, r7}",
        "(uint32_t *) 0x20000120 <heap+272>",
        " = 0x20000110",
        "in put_warning (force=",
        "in printer () at main.c",
        " = 96",
    ):
        assert line in shown, line
    # What the page calls the culprit is it: the forward run has the right pointer before this instruction.
    positions = [int(number.replace(",", "")) for number in re.findall(r"^([\d,]+) \(", shown, re.MULTILINE)]
    culprit = positions[2]
    oracle = asyncio.run(observe(station, culprit - 5, 10, {_BLOCK + _NEXT: 4}))
    index = oracle.index(Position(culprit))
    assert oracle.changes(_BLOCK + _NEXT) == [index]
    assert oracle[index].pc - (symbol(elf, "pendsv_handler").address & ~1) == 12
    assert oracle.registers(index)["r0"] == _BLOCK
