"""Watchpoints in a GDB that takes a stop for one before the access, and steps once more by itself."""

from __future__ import annotations

from pathlib import Path

from tests.guests.spaces import SpacesGuest
from tests.oracle import observe
from tests.server.conftest import debugging

ROUNDS_PER_MOVE = 8


async def test_each_write_is_stopped_at_and_not_behind(two_spaces: Path, spaces: SpacesGuest, tmp_path: Path) -> None:
    """Also where two instructions in a row write: what GDB's step would lead over."""
    elf = spaces.image.with_suffix(".elf")
    oracle = await observe(two_spaces, 0, 1170, {spaces.entry: 8})
    changes = oracle.changes(spaces.entry)[1:]
    assert len(changes) >= 2 * (48 // ROUNDS_PER_MOVE - 1)
    assert changes[1] == changes[0] + 1
    async with debugging(two_spaces, elf, tmp_path, program="gdb-multiarch") as debugger:
        await debugger.seek(oracle[changes[0] - 3].position)
        await debugger.gdb.console(f"watch *(unsigned long *) {spaces.entry:#x}")
        for index in changes:
            assert await debugger.move("continue") == "watchpoint-trigger"
            assert debugger.replay.position == oracle[index + 1].position
            assert await debugger.number("$pc") == oracle[index + 1].pc
        for index in reversed(changes):
            assert await debugger.move("reverse-continue") == "watchpoint-trigger"
            assert debugger.replay.position == oracle[index].position
        # Single steps over them are one instruction each, and so are those that follow, with the watchpoint gone.
        await debugger.move("reverse-stepi")
        for index in (changes[0], changes[0] + 1):
            assert await debugger.move("stepi") in ("end-stepping-range", "watchpoint-trigger")
            assert debugger.replay.position == oracle[index].position
        await debugger.gdb.console("delete")
        await debugger.move("stepi")
        assert debugger.replay.position == oracle[changes[0] + 2].position
        await debugger.move("reverse-stepi")
        assert debugger.replay.position == oracle[changes[0] + 1].position
        # In a what-if the step is made: there QEMU stops before the access.
        await debugger.seek(oracle[changes[0] - 3].position)
        await debugger.gdb.console("monitor what-if on")
        await debugger.gdb.console(f"watch *(unsigned long *) {spaces.entry:#x}")
        for index in changes[:2]:
            assert await debugger.move("continue") == "watchpoint-trigger"
            assert await debugger.number("$pc") == oracle[index + 1].pc
