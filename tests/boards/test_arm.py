"""Arm and RISC-V boards: each step is one instruction, in both directions; what was printed by semihosting is known."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from pathlib import Path

import pytest

import rrdbg
from rrdbg.engine.queries.returning import run_out
from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.model.hits.stop import Breakpoint, Stop
from rrdbg.model.timeline.position import START, Position
from tests.boards.conftest import BOARDS, Recorded, assembled
from tests.cli.conftest import Cli
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.build import symbol
from tests.guests.rtos import build_rtos

_ROUND = 60
"""Steps: the instructions up to the inner loop, and some of that."""


@pytest.mark.parametrize(
    ("board", "counters", "pauses"),
    [
        ("a32", ("r0", "r1", "r2"), {0x40008004: 0x40008008, 0x4000800C: 0x40008010}),
        ("t32", ("r0", "r1", "r2"), {0x40008004: 0x40008006, 0x4000800A: 0x4000800C}),
        ("cortex-m", ("r0", "r1", "r2"), {0xA: 0xC, 0xE: 0x10}),
        ("a64", ("x0", "x1", "x2"), {0x40080004: 0x40080008, 0x4008000C: 0x40080010}),
        ("riscv64", ("a0", "a1", "a2"), {0x80000004: 0x80000008, 0x8000000C: 0x80000010}),
    ],
)
def test_f4_a_step_over_yield_and_wfe_is_one_instruction(
    recorded: Recorded, tmp_path: Path, board: str, counters: tuple[str, ...], pauses: dict[int, int]
) -> None:
    copy = shutil.copytree(recorded(board), tmp_path / "copy")
    with rrdbg.open(copy, gdb=None, jobs=1) as replay:

        def here(stop: Stop) -> tuple[Position, int, list[int]]:
            registers = replay.registers()
            return stop.position, stop.pc, [registers[name] for name in counters]

        stop = replay.seek(0)
        way = [stop.pc]
        while stop.pc not in pauses:  # QEMU's own code on this board comes first
            stop = replay.step()
            way.append(stop.pc)
            assert len(way) < _ROUND, f"{[hex(pc) for pc in way]}"
        seen = [here(stop)]
        for number in range(1, _ROUND):
            seen.append(here(replay.step()))
            assert seen[-1][0].icount == seen[0][0].icount + number
        passed = [(before[1], after[1]) for before, after in itertools.pairwise(seen) if before[1] in pauses]
        assert len(passed) == len(pauses)
        assert all(after == pauses[before] for before, after in passed)
        assert [here(replay.reverse_step()) for _ in seen[1:]] == seen[-2::-1]


def test_f5_what_is_printed_by_semihosting_has_its_position(recorded: Recorded, tmp_path: Path) -> None:
    """Five times 10,015 instructions apart: the call itself, a loop and two other calls."""
    with rrdbg.open(shutil.copytree(recorded("semihosting"), tmp_path / "copy"), gdb=None, jobs=1) as replay:
        lines = list(replay.console())
        assert [line.text for line in lines] == ["hello semi"] * 5
        assert [later.position.icount - line.position.icount for line, later in itertools.pairwise(lines)] == [
            10_015
        ] * 4
        for line in lines:
            stop = replay.seek(line.position)
            assert replay.disassemble(stop.pc)[0][1].startswith("bkpt")
            assert replay.registers()["r0"] == 4  # SYS_WRITE0


def test_f5_what_the_host_answers_anew_is_said_when_recording(tmp_path: Path) -> None:
    """This guest asks for the time, which two replays are told differently."""
    command = (*BOARDS["semihosting"].command, "-kernel", str(assembled("semihosting")))
    with pytest.raises(UsageError, match="semihosting calls may be why: the time, a key or a file"):
        rrdbg.record(command, tmp_path / "recording")
    assert not (tmp_path / "recording").exists()


@pytest.fixture(scope="module")
def microbit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks on a Cortex-M0, whose RAM only the CPU sees; not to be changed."""
    with failing_clearly("rtos"):
        command = ("qemu-system-arm", "-M", "microbit", "-nographic", "-kernel", str(build_rtos("microbit", GUEST_DIR)))
    root = tmp_path_factory.mktemp("boards") / "microbit"
    rrdbg.record(command, root, until_console="HARD FAULT")
    return root


def test_f18_verify_where_only_the_cpu_sees_the_ram(microbit: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(microbit, tmp_path / "copy")
    assert "Verified" in Cli(tmp_path / "library")("verify", str(copy)).stdout


def test_finish_passes_the_calls_of_a_function_and_other_tasks(microbit: Path, tmp_path: Path) -> None:
    """To where the forward run returns with the same stack, though another task has run on another one meanwhile."""
    elf, copy = build_rtos("microbit", GUEST_DIR), shutil.copytree(microbit, tmp_path / "copy")

    async def compared(replay: Replay, name: str) -> int:
        entry = [Breakpoint(1, symbol(elf, name).address & ~1)]
        await replay.seek(START)
        for _ in range(3):
            await replay.cont(entry)
        begun, entered = replay.position, await replay.registers()
        back = [Breakpoint(1, entered["lr"] & ~1)]
        expected = await replay.cont(back)
        while (await replay.registers())["sp"] != entered["sp"]:
            expected = await replay.cont(back)
        for inside in (0, 3):
            await replay.seek(Position(begun.icount + inside))
            assert (await run_out(replay, ())).position == expected.position
        delivered = replay.timeline.deliveries.icounts
        return sum(begun.icount <= icount < expected.position.icount for icount in delivered)

    async def check() -> None:
        async with await Replay.open(copy) as replay:
            await compared(replay, "put_number")
            assert await compared(replay, "task_sleep") > 1, "the scheduler, twice at least"

    asyncio.run(check())


def test_snapshots_are_known_again_where_a_block_of_ram_stays_empty(recorded: Recorded, tmp_path: Path) -> None:
    """mps2-an385 has 16 MiB that the program leaves alone: all pages are zeros, and none needs to be kept."""
    copy = shutil.copytree(recorded("cortex-m"), tmp_path / "copy")

    async def names(*, keep: bool) -> list[str | None]:
        async with await Replay.open(copy) as replay:
            if keep:
                await replay.seek(Position(500_000))
                await replay.snapshot("here")
            return [snapshot.name for snapshot in replay.timeline.snapshots]

    assert "here" in asyncio.run(names(keep=True))
    assert "here" in asyncio.run(names(keep=False))
