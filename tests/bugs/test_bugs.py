"""Each of the planted bugs (tests/guests/bugs) is found backwards by the command that docs/howto/bugs.md tells.

Where it was found is checked against a forward run: what memory holds before and after that instruction, and that
nothing writes there any more up to the end.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rrdbg.model.timeline.position import Position
from tests.cli.conftest import Cli
from tests.conftest import GUEST_DIR, failing_clearly, record
from tests.guests.build import SOURCES, build, symbol
from tests.oracle import observe, observe_to_the_end

HANDBOOK = Path(__file__).parents[2] / "docs" / "howto" / "bugs.md"

STEPS_BEFORE = 100
"""Where the forward run begins to step, in instructions before the place that was found."""


Value = int | str
"""A number, or the name of the function that it points into."""


@dataclass(frozen=True)
class Bug:
    """A write that was wrong, and how it shows."""

    guest: str
    panic: str
    expression: str
    """What the panic complains about."""
    culprit: str
    """The function that wrote it."""
    before: Value | None
    after: Value | None
    """What it was, and was made; None where that depends on the speed of the guest's clock."""
    then: dict[str, str] = field(default_factory=dict)
    """Commands for the place where the bug strikes, and what they print there."""


WRITES = [
    Bug(
        "wild_write", "command 0 has its code at 700000bb8", "meter.commands[0]",
        "note", "report", 0x7_0000_0BB8, {"bt": "note (value=0)"},
    ),
    Bug(
        "use_after_free", "an order of customer 3 was changed: 1472 pieces", "order->amount",
        "count_bytes", 12, 1472,
        {
            "print (void *) found_last == order": " = 1",
            'tprintf block_free,"%p freed",memory from -1000 to end': "freed",
        },
    ),
    Bug(
        "stack_overflow", "the recorder's history is wrong", "tasks[0].history[bad]",
        "nesting", 1095, "nesting", {"print $rsp <= (unsigned long) tasks[1].stack": " = 1", "bt -2": "parse ()"},
    ),
    Bug(
        "lost_interrupt", "the driver sleeps, though request", "finished",
        "on_timer", None, None, {"bt": "wait_for_device ()", "print asleep": " = 0"},
    ),
    Bug(
        "dma_copy", "the serial number of this board is 767574737271706f", "board.serial_number",
        "card_copy", 0x0075_7473_7271_706F, 0x7675_7473_7271_706F, {"last card.length": "in receive ("},
    ),
]  # fmt: skip


def make_recording(guest: str, folder: Path) -> tuple[Path, Path]:
    """Record a guest until it panics; return its ELF file and the recording."""
    with failing_clearly(guest):
        elf = build(guest, GUEST_DIR)
    return elf, record(elf, folder / guest, until_console="PANIC")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "library")


def replay(cli: Cli, recording: Path, *commands: str, options: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """What was answered to the commands."""
    words = [word for command in commands for word in ("-ex", command)]
    done = cli("replay", str(recording), "--batch", "--json", *options, *words)
    return [json.loads(line) for line in done.stdout.splitlines()][2:]


def found(stopped: dict[str, Any]) -> Position:
    return Position(**stopped["stop"]["position"])


def console_of(recording: Path) -> str:
    return (recording / "console.log").read_text(errors="replace")


def is_value(elf: Path, value: int, expected: Value | None) -> bool:
    if isinstance(expected, str):
        function = symbol(elf, expected)
        return function.address <= value < function.address + function.size
    return expected is None or value == expected


@pytest.mark.parametrize("bug", WRITES, ids=lambda bug: bug.guest)
def test_the_write_is_found(bug: Bug, cli: Cli, tmp_path: Path) -> None:
    elf, recording = make_recording(bug.guest, tmp_path)
    assert f"PANIC: {bug.panic}" in console_of(recording)
    handbook = HANDBOOK.read_text()
    assert all(command in handbook for command in (f"last {bug.expression}", *bug.then))

    asked, changed, *others = replay(
        cli, recording, f"print (unsigned long) &({bug.expression})", f"last {bug.expression}", *bug.then
    )
    address = int(asked["text"].split(" = ")[1])
    stopped = changed["stopped"]
    assert stopped["frame"]["function"] == bug.culprit
    said = json.dumps(others)
    assert all(expected in said for expected in bug.then.values()), said

    position = found(stopped)
    oracle, written_later = asyncio.run(
        observe_to_the_end(recording, position.icount - STEPS_BEFORE, STEPS_BEFORE + 10, {address: 8})
    )
    here = oracle.index(position)
    assert oracle[here].pc == stopped["stop"]["pc"]
    assert oracle.changes(address)[-1] == here
    assert not written_later
    for shown, entry, wanted in (
        (changed["before"], oracle[here], bug.before),
        (changed["after"], oracle[here + 1], bug.after),
    ):
        value = int.from_bytes(entry.memory[address], "little")
        assert int(shown.split()[0], 0) == value
        assert is_value(elf, value, wanted)


def test_the_interrupt_came_between_the_look_and_the_sleep(cli: Cli, tmp_path: Path) -> None:
    elf, recording = make_recording("lost_interrupt", tmp_path)
    (changed,) = replay(cli, recording, "last finished")
    asleep, finished, sent = (symbol(elf, name).address for name in ("asleep", "finished", "sent"))
    position = found(changed["stopped"])
    oracle = asyncio.run(observe(recording, position.icount - 400, 800, dict.fromkeys((asleep, finished, sent), 8)))
    here = oracle.index(position)
    assert oracle.changes(finished) == [here]
    assert oracle[here].memory[asleep] == bytes(8)
    falls_asleep = oracle.changes(asleep)[-1]
    assert falls_asleep > here
    assert oracle[falls_asleep].memory[finished] == oracle[falls_asleep].memory[sent], "it sleeps though all is done"
    waiting = symbol(elf, "wait_for_device")
    # It may have waited for the request before this one just before.
    called = max(index for index, entry in enumerate(oracle.entries[:here]) if entry.pc == waiting.address)
    inside = range(waiting.address, waiting.address + waiting.size)
    looks = [entry for entry in oracle.entries[called:here] if entry.pc in inside]
    assert looks, "the driver was in wait_for_device() already"
    assert all(entry.memory[finished] != entry.memory[sent] for entry in looks)


def test_the_lost_reference_is_found(cli: Cli, tmp_path: Path) -> None:
    """The wrong write changes nothing: it writes what the interrupt has written, and should write more."""
    elf, recording = make_recording("refcount_race", tmp_path)
    assert "PANIC: the buffer is freed, but its owner has it" in console_of(recording)
    source = (SOURCES / "bugs" / "refcount_race.c").read_text().splitlines()
    (line,) = (number for number, text in enumerate(source, 1) if "the bug:" in text)
    point = f"break refcount_race.c:{line} if buffer->references != seen"
    handbook = HANDBOOK.read_text()
    assert f"-ex '{point}' -ex reverse-continue" in handbook

    _, stopped, seen, counted = replay(
        cli, recording, point, "reverse-continue", "print seen", "print buffer->references"
    )
    assert stopped["frame"]["function"] == "get"
    assert (seen["text"], counted["text"]) == ("$1 = 1\n", "$2 = 2\n")

    position, pc = found(stopped), stopped["stop"]["pc"]
    count = symbol(elf, "buffer").address
    oracle = asyncio.run(observe(recording, position.icount - 200, 5000, {count: 8}))
    entry_of_get = symbol(elf, "get").address
    here, lost = oracle.index(position), []
    looks: list[bytes] = []  # what was read by each get() that is under way; the interrupt's comes last
    for index, entry in enumerate(oracle.entries):
        if entry.pc == entry_of_get:
            looks.append(entry.memory[count])
        elif entry.pc == pc and looks and looks.pop() != entry.memory[count]:
            lost.append(index)
    assert lost == [here]
    assert here + 1 not in oracle.changes(count), "the write itself"
