"""What only GDB knows, in the arguments of commands; and commands that the server has and the shipped file has not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rrdbg.commands.help import COMMANDS
from rrdbg.commands.registry import Category, Takes
from rrdbg.commands.session import Session
from rrdbg.model.program.tracing import Print, Tracepoint
from rrdbg.model.results import Message, Result
from tests.extension.conftest import Extended
from tests.guests.build import symbol

PLACE = 7_300_000


async def repeat(session: Session, text: str) -> Result:
    return Message(f"got {text}")


@pytest.fixture(autouse=True)
def _more_commands() -> Iterator[None]:
    """The server's registry has commands that answer what they were given."""
    before = dict(COMMANDS._commands)
    for name, takes in (
        ("tell-value", (Takes.EXPRESSION, Takes.POSITION)),
        ("tell-place", (Takes.LOCATION, Takes.POSITION)),
        ("tprintf", (Takes.LOCATION, Takes.EXPRESSION)),
    ):
        COMMANDS.command(name, Category.DATA, "Repeat it.", arguments="ARGUMENT", takes=takes)(repeat)
    yield
    COMMANDS._commands.clear()
    COMMANDS._commands.update(before)


def got(lines: list[str]) -> list[str]:
    """What the server was given."""
    return [line.removeprefix("got ") for line in lines if line.startswith("got ")]


def refused(*lines: str) -> str:
    """A script that runs lines that fail, and prints why."""
    quoted = ", ".join(repr(line) for line in lines)
    return (
        f"python\nfor line in ({quoted},):\n    try:\n        gdb.execute(line)\n"
        "    except gdb.error as error:\n        print('refused:', error)\nend\n"
    )


async def test_expressions_become_addresses(extended: Extended, workload_guest: Path) -> None:
    counter, ring = (symbol(workload_guest, name).address for name in ("counter", "ring"))
    lines = await extended(
        f"rrdbg seek {PLACE}\nrrdbg tell-value counter\nrrdbg tell-value ring[3] from 50% to end\n"
        "rrdbg tell-value *0x104038:8\nrrdbg tell-value 0x104038 16\nrrdbg tell-value *(int *) &counter to @x\n"
        + refused("rrdbg tell-value $rax + 1", "rrdbg tell-value nonsense")
    )
    assert got(lines) == [
        f"*{counter:#x}:8", f"*{ring + 24:#x}:8 from 50% to end", "*0x104038:8", "*0x104038:16",
        f"*{counter:#x}:4 to @x",
    ]  # fmt: skip
    assert "refused: '$rax + 1' has no address; name a variable, or write *ADDRESS:LENGTH." in lines
    assert 'refused: No symbol "nonsense" in current context.' in lines


async def test_locations_become_addresses(extended: Extended, workload_guest: Path) -> None:
    entry = symbol(workload_guest, "do_round").address
    lines = await extended(
        f"rrdbg tell-place *{entry:#x} from start\nrrdbg tell-place do_round\n"
        'python print("address", hex(gdb.decode_line("do_round")[1][0].pc))\n'
        + refused("rrdbg tell-place nowhere", "rrdbg tell-place do_round and more")
    )
    address = next(line.split()[1] for line in lines if line.startswith("address "))
    assert got(lines) == [f"*{entry:#x} from start", f"*{address}"]
    reasons = [line for line in lines if line.startswith("refused: ")]
    assert len(reasons) == 2
    assert not any("Traceback" in line for line in lines)


async def test_what_is_printed_on_the_way_becomes_bytecode(extended: Extended) -> None:
    lines = await extended(
        'rrdbg tprintf mix, "round %d, \\"%lu\\"\\n", (int) round + 1, counter * 2 from 10% to end\n'
        + refused('rrdbg tprintf mix, "%d"')
    )
    (line,) = got(lines)
    wanted = Print.read(line)
    assert re.fullmatch(r"\*0x[0-9a-f]+", wanted.location)
    assert (wanted.start, wanted.end) == ("10%", "end")
    assert wanted.format.show([5, 6]) == 'round 5, "6"\n'
    assert len(wanted.arguments) == 2
    codes = ",".join(argument.removeprefix("@") for argument in wanted.arguments)
    assert all(expression.code for expression in Tracepoint.read(f"{wanted.location},{codes}").expressions)
    assert "refused: The format has 1 conversions, but there are 0 arguments." in lines
