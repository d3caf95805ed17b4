"""What is typed to the guest of a hunt: after its prompts, one after another, and later than it has asked for it."""

from __future__ import annotations

import asyncio
import doctest
from pathlib import Path

import pytest

from rrdbg.engine.hunt.attempt import Guest, attempt
from rrdbg.engine.hunt.typing import Typing
from rrdbg.frontends.cli.main import main
from rrdbg.model.hunt import keys
from rrdbg.model.hunt.keys import Keys
from rrdbg.model.hunt.perturbation import ALWAYS, Aspect, Perturbation, useful
from rrdbg.model.timeline.events import EventKind
from rrdbg.store.history import history
from rrdbg.store.layout import Layout
from tests.cli.conftest import bare_metal
from tests.conftest import GUEST_DIR
from tests.guests.build import build


def test_the_examples_are_right() -> None:
    assert doctest.testmod(keys).failed == 0


async def test_it_types_later_by_so_many_milliseconds() -> None:
    loop, typed = asyncio.get_running_loop(), asyncio.Queue[tuple[bytes, float]]()
    typing = Typing([Keys(b"login:", b"root")], 30, lambda data: typed.put_nowait((data, loop.time())))
    began = loop.time()
    typing.printed(b"login")
    typing.printed(b": ")
    assert typed.empty()
    data, when = await typed.get()
    assert data == b"root\r"
    assert when - began >= 0.03
    typing.close()


async def test_what_was_not_typed_yet_is_not_typed_any_more() -> None:
    typed: list[bytes] = []
    typing = Typing([Keys(b"a", b"b")], 0, typed.append)
    typing.printed(b"a")
    typing.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not typed


async def test_a_guest_gets_what_is_typed_and_a_recording_has_it(tmp_path: Path) -> None:
    dialogue = (Keys(b"typed: up", b"hello"), Keys(b"line 'hello'", b"quit"))
    guest = Guest(bare_metal(build("typed", GUEST_DIR)), timeout=60.0, keys=dialogue)
    recorded = await attempt(guest, Perturbation(typing=20), tmp_path / "typed")
    assert recorded.ended == "the guest powered off"
    layout = Layout(recorded.directory)
    printed = layout.console.read_bytes()
    assert printed.index(b"line 'hello' at tick") < printed.index(b"line 'quit' at tick")
    assert len(list(history(layout.log, {EventKind.SERIAL}))) >= len(b"hello\rquit\r")


def test_it_differs_only_where_something_is_typed() -> None:
    plain = ("qemu-system-x86_64", "-nodefaults", "-kernel", "k.elf")
    assert Aspect.TYPING not in useful(ALWAYS, plain)
    assert Aspect.TYPING in useful(ALWAYS, plain, typed=True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--type", "a", "b", "--", "qemu-system-x86_64", "-nodefaults"], "needs a serial port to type to"),
        (["--type", "", "b", "--", "qemu-system-x86_64", "-nographic"], "needs a PROMPT"),
        (["--type", "a", "b", "--repeatable", "--", "qemu-system-x86_64", "-nographic"], "goes by its clock"),
        (["--repeatable", "--vary", "disk", "--", "qemu-system-x86_64", "-hda", "x"], "'disk' goes by its clock"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hunt", "--until-console", "X", *words]) == 2
    assert says in capsys.readouterr().err
