"""A disk writes the guest's memory by DMA: no instruction is named for it, but the step and the disk's answer."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.engine.replay import Replay
from rrdbg.model.results import Changed
from rrdbg.model.timeline.events import EventKind
from rrdbg.model.timeline.position import Position
from rrdbg.store.history import history
from tests.shell.conftest import Opened

SECTOR = 0x7C00
"""Where a PC's firmware has the disk put its first sector."""

BOOT = bytes.fromhex("baf803 b021 ee b9d007 e2fe b00a ee fa f4 ebfc")
"""mov $0x3f8,%dx; mov $'!',%al; out %al,%dx; mov $2000,%cx; loop .; mov $'\\n',%al; out %al,%dx; cli; hlt; jmp -4."""


@pytest.fixture
def booted(tmp_path: Path) -> Path:
    """A recording of a PC that boots from a virtio disk."""
    image = tmp_path / "disk.img"
    image.write_bytes(BOOT.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    disk = ("-drive", f"file={image},format=raw,if=virtio")
    command = ("qemu-system-x86_64", "-nodefaults", "-m", "16", "-serial", "stdio", *disk)
    request = RecordRequest(command, tmp_path / "recording", until_console="!", timeout=60)
    return asyncio.run(Recorder(request).run()).directory


@pytest.mark.parametrize("where", ["end", "-100"])
async def test_last_names_the_disks_answer(opened: Opened, booted: Path, where: str) -> None:
    async with opened(booted, gdb=False) as user:
        await user(f"seek {where}")
        (changed,) = await user.results(f"last *{SECTOR:#x}:8")
        assert isinstance(changed, Changed)
        assert changed.after == f"{int.from_bytes(BOOT[:8], 'little'):#018x}"
        before = changed.stopped.stop.position
        answers = [event.position for event in history(booted / "replay.bin", {EventKind.BLOCK})]
        answer = min(position for position in answers if position >= before)
        assert f"its next answer is the block event at {answer}" in changed.cause
        assert re.search(rf"it changed between {before} and [\d,]+\.", changed.cause)
        # The forward run: the guest sees the old bytes before the disk was asked, and the new ones after its answer.
        replay: Replay = user.shell.replay
        await replay.seek(Position(before.icount - 20_000))
        old = await replay.read_memory(SECTOR, 8)
        assert changed.before == f"{int.from_bytes(old, 'little'):#018x}"
        assert old != BOOT[:8]
        await replay.seek(Position(answer.icount + 1))
        assert await replay.read_memory(SECTOR, 8) == BOOT[:8]


async def test_no_instruction_is_named_for_it_by_any_other_question(opened: Opened, booted: Path) -> None:
    async with opened(booted, gdb=False) as user:
        replay: Replay = user.shell.replay
        await user("seek end")
        (changed,) = await user.results(f"last *{SECTOR:#x}:8")
        assert isinstance(changed, Changed)
        before, answer = changed.stopped.stop.position, changed.cause.rpartition("event at ")[2].split()[0].rstrip(".")
        told = re.compile(rf"No instruction has written it by this address: .* event at {re.escape(answer)}\b")
        boot = int.from_bytes(BOOT[:8], "little")

        def is_near(position: Position) -> bool:
            """In each replay the data come at another instant between the request and the answer."""
            return abs(position.icount - before.icount) < 20_000

        listed = await user(f"writes *{SECTOR:#x}:8 from {before.icount - 20_000}")
        (line,) = [line for line in listed.splitlines() if line.startswith("@")]
        assert f"-> {boot:#018x}" in line
        assert told.search(line)
        assert "next" not in line.partition("No instruction")[0]
        await user(f"watch *{SECTOR:#x}:8")
        await user("seek end")
        assert told.search(await user("reverse-continue"))
        assert is_near(replay.position)
        await user(f"seek {before.icount - 20_000}")
        assert told.search(await user("continue"))
        assert is_near(replay.position)
        assert await replay.read_memory(SECTOR, 8) == BOOT[:8]
        assert "This is the end" in await user("continue")
        await user("delete")
        await user("seek end")
        listed = await user(f"writes *{SECTOR:#x}:8 from {before.icount - 20_000} --physical")
        assert "No instruction has written it: it changed between" in listed
        assert listed.count("@") == 1


async def test_it_stays_where_nothing_has_changed(opened: Opened, booted: Path) -> None:
    async with opened(booted, gdb=False) as user:
        here = user.position
        assert "Nothing has changed *0x800000:8" in await user.refused("last *0x800000:8")
        assert user.position == here
