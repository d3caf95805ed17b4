"""An agent that has nothing but the tools finds each of the planted bugs (docs/howto/bugs.md)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

import rrdbg
from tests.bugs.test_bugs import make_recording
from tests.guests.build import SOURCES
from tests.guests.linux import QEMU_OPTIONS, build_buggy_linux, make_symbols
from tests.mcp.agent import Agent, agent, position_in

BUGS = ("wild_write", "use_after_free", "stack_overflow", "lost_interrupt", "dma_copy", "refcount_race")

MOST_CALLS = 5
MOST_READ = 7_000
"""Characters that are read for one bug, some 2,300 tokens."""


def test_an_agent_solves_the_bugs(tmp_path: Path) -> None:
    recordings = {guest: make_recording(guest, tmp_path)[1] for guest in BUGS}
    asyncio.run(_solve(recordings, tmp_path / "library"))
    for guest, expression in (("wild_write", "meter.commands[0]"), ("dma_copy", "card.length")):
        with rrdbg.open(recordings[guest]) as replay:
            at = "end" if guest == "wild_write" else replay.last("board.serial_number", at="end").position
            assert replay.bookmarks["cause"].position == replay.last(expression, at=at).position


async def _solve(recordings: Mapping[str, Path], library: Path) -> None:
    async with agent(library, list(recordings.values())) as asking:
        for guest in BUGS:
            asking.calls = asking.read = 0
            told = await asking.ask("describe", recording=guest)
            assert "PANIC" in told.partition("last console lines:")[2]
            culprit = await globals()[f"_{guest}"](asking)
            await asking.ask("bookmark", recording=guest, name="cause", note="the culprit", at=culprit)
            print(f"{guest}: {asking.calls} calls, {asking.read} characters")
            assert asking.calls <= MOST_CALLS
            assert asking.read <= MOST_READ


async def _wild_write(asking: Agent) -> str:
    told = await asking.ask("last_write", recording="wild_write", expression="meter.commands[0]")
    assert "in: note at" in told
    assert "new value = 0x700000bb8" in told
    assert "=> 32" in told, "the source line is shown"
    state = await asking.ask(
        "state", recording="wild_write", at=position_in(told), expressions=["value", "value - 500"], frames=0
    )
    assert "value = 0\n" in state
    return position_in(told)


async def _use_after_free(asking: Agent) -> str:
    told = await asking.ask("last_write", recording="use_after_free", expression="order->amount")
    assert "in: count_bytes at" in told
    culprit = position_in(told)
    freed = await asking.ask(
        "trace", recording="use_after_free", location="block_free", format="%p", expressions=["memory"],
        start=f"{culprit}-1000", end=culprit,
    )  # fmt: skip
    assert "searched:" in freed
    state = await asking.ask(
        "state", recording="use_after_free", at=culprit, expressions=["(void *) found_last == order"], frames=0
    )
    assert "== order = 1" in state
    return culprit


async def _stack_overflow(asking: Agent) -> str:
    complaint = await asking.ask("console", recording="stack_overflow", pattern="history is wrong")
    bad = re.search(r"wrong: \d+ at (\d+)", complaint)
    assert bad, complaint
    told = await asking.ask(
        "last_write", recording="stack_overflow", expression=f"tasks[0].history[{bad[1]}]", frames=30
    )
    assert "in: nesting at" in told
    assert "parse ()" in told
    return position_in(told)


async def _lost_interrupt(asking: Agent) -> str:
    told = await asking.ask("last_write", recording="lost_interrupt", expression="finished", frames=6)
    assert "in: on_timer at" in told
    assert "wait_for_device ()" in told
    before = await asking.ask(
        "events", recording="lost_interrupt", kind="interrupt", end=position_in(told), last=True, limit=1
    )
    assert "shown: 1 of" in before
    return position_in(told)


async def _dma_copy(asking: Agent) -> str:
    told = await asking.ask("last_write", recording="dma_copy", expression="board.serial_number")
    assert "in: card_copy at" in told
    told = await asking.ask("last_write", recording="dma_copy", expression="card.length", at=position_in(told))
    assert "in: receive at" in told
    assert "new value = 256 (0x100)" in told
    return position_in(told)


async def _refcount_race(asking: Agent) -> str:
    source = (SOURCES / "bugs" / "refcount_race.c").read_text().splitlines()
    (line,) = (number for number, text in enumerate(source, 1) if "the bug:" in text)
    told = await asking.ask(
        "find", recording="refcount_race", location=f"refcount_race.c:{line}", at="end",
        condition="buffer->references != seen", expressions=["seen", "buffer->references"],
    )  # fmt: skip
    assert "in: get at" in told
    assert {"seen = 1", "buffer->references = 2"} <= set(told.splitlines())
    return position_in(told)


@pytest.mark.matrix  # minutes
@pytest.mark.linux
@pytest.mark.timeout(900)
async def test_an_agent_follows_an_oops_into_the_firmware(tmp_path: Path) -> None:
    guest = build_buggy_linux(Path("build/guests").absolute())
    symbols = make_symbols(guest)
    command = [
        "qemu-system-x86_64", *QEMU_OPTIONS, "-nographic", "-no-reboot",
        "-kernel", str(guest.kernel), "-initrd", str(guest.initrd), "-append", guest.cmdline,
    ]  # fmt: skip
    await rrdbg.record_async(command, tmp_path / "oops", until_console="Kernel panic")
    async with agent(tmp_path / "library", [tmp_path / "oops"], "--symbols", str(symbols)) as asking:
        oops = await asking.ask("console", pattern="R", limit=60)
        assert "RIP: 0010:kmem_cache_alloc+" in oops
        (victim,) = set(re.findall(r"RBP: ([0-9a-f]{16})", oops.partition("Kernel panic")[0])) & set(
            re.findall(r"RDI: ([0-9a-f]{16})", oops)
        )
        told = await asking.ask("last_write", expression=f"*(unsigned long *) 0x{victim}")
        assert "in: acpi_ex_system_memory_space_handler" in told
        method = await asking.ask(
            "find", location="acpi_evaluate_object", at=position_in(told), expressions=["(char *) $rsi"]
        )
        assert "_SUN" in method
        print(f"oops: {asking.calls} calls, {asking.read} characters")
