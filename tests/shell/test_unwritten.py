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


async def test_it_stays_where_nothing_has_changed(opened: Opened, booted: Path) -> None:
    async with opened(booted, gdb=False) as user:
        here = user.position
        assert "Nothing has changed *0x800000:8" in await user.refused("last *0x800000:8")
        assert user.position == here
