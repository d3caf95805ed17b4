"""Steps over each change of x86's mode, both ways: where the forward list says, and shown as QEMU disassembles it.

By default a boot sector that goes through all modes, and the start of SeaBIOS. ``RRDBG_MODES=500`` looks for one change
of each kind in SeaBIOS, GRUB, memtest86+, U-Boot and Linux, and makes so many steps over each: some minutes for each.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.engine.queries import returning
from rrdbg.engine.queries.origin import origin
from rrdbg.engine.replay import Replay
from rrdbg.errors import GdbError, UsageError
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.links.mi import Gdb
from rrdbg.model.program.code_mode import CodeMode
from rrdbg.model.program.moves import CONSTANT, Hop, MemoryPlace, RegisterPlace
from rrdbg.model.results import Output, Stopped
from rrdbg.model.timeline.position import START, Position
from tests.boards.firmware import FIRMWARE, boot_sector
from tests.conftest import failing_clearly
from tests.extension.conftest import PROGRAMS, SCRIPT, output_of
from tests.guests.build import symbol
from tests.oracle import Oracle, observe
from tests.server.conftest import serving

LONG = int(os.environ.get("RRDBG_MODES", "0"))
NAMES = [name for name in FIRMWARE if name != "boot"] if LONG else ["seabios"]
STEPS, SAMPLES = (LONG, 32) if LONG else (30, 2)
_ROUND = 70
"""Steps that the boot sector needs for a little more than one round through all modes."""

_PARTS = 16
"""Places in a stretch where the mode is looked at, to find where in between it changes."""

_SHOWN = re.compile(r"(0x[0-9a-f]+)(?: <[^>]*>)?:\t")

Recorded = Callable[[str], Path]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """The recording of a firmware, made once; not to be changed."""
    root = tmp_path_factory.mktemp("firmware")

    def once(name: str) -> Path:
        if not (root / name).exists():
            about = FIRMWARE[name]
            with failing_clearly(name):
                command = about.command
            request = RecordRequest(command, root / name, max_icount=about.instructions, timeout=about.seconds)
            asyncio.run(Recorder(request).run())
        return root / name

    return once


@dataclass
class Walk:
    """Steps forth and back with the shell's GDB, held against the forward list ``expected``."""

    replay: Replay
    debugger: Debugger
    expected: Oracle

    async def go(self, steps: int) -> Counter[tuple[CodeMode, CodeMode]]:
        """Make the steps from where the list begins; the changes of mode that were met."""
        await self.replay.seek(self.expected[0].position)
        modes, shown = [], []
        for index in range(steps + 1):
            modes.append(await self._mode())
            shown.append(await self._check(index))
            if index < steps:
                (stopped,) = await self.debugger.run("stepi")
                assert isinstance(stopped, Stopped)
        for index in range(steps - 1, -1, -1):
            await self.debugger.run("reverse-stepi")
            # What GDB has shown going forth was compared with QEMU's view, which would cost a jump at each step here.
            assert self.replay.position == self.expected[index].position
            assert await self._shown() == shown[index]
        return Counter(pair for pair in itertools.pairwise(modes) if pair[0] != pair[1])

    async def _mode(self) -> CodeMode:
        segment = await (await self.replay.machine()).code_segment()
        assert segment
        return segment.mode

    async def _check(self, index: int) -> str:
        """What GDB shows here, which must be at the place of the list, and as long as QEMU says."""
        here = self.expected[index]
        assert self.replay.position == here.position
        assert await self.replay.pc() == here.pc
        text = await self._shown()
        addresses = [int(address, 16) for address in _SHOWN.findall(text)]
        # QEMU lists one only at the reset vector, at the top of memory, which U-Boot leaves by its second instruction.
        listed = [address for address, _ in await self.replay.disassemble(here.pc, 2)]
        assert len(listed) == 2 or here.pc >= 0xFFFF_FFF0
        assert addresses[: len(listed)] == listed, text
        return text

    async def _shown(self) -> str:
        (answer,) = await self.debugger.run("x/2i $pc")
        assert isinstance(answer, Output)
        return answer.text


async def changes(replay: Replay) -> dict[tuple[CodeMode, CodeMode], int]:
    """Instruction counts before which the mode changes, one for each kind of change that is found."""

    async def mode(icount: int) -> CodeMode:
        await replay.seek(Position(icount))
        segment = await (await replay.machine()).code_segment()
        assert segment
        return segment.mode

    end = replay.timeline.end.icount
    samples = [number * end // SAMPLES for number in range(SAMPLES)]
    modes = [await mode(icount) for icount in samples]
    found: dict[tuple[CodeMode, CodeMode], int] = {}
    stretches = list(itertools.pairwise(zip(samples, modes, strict=True)))
    while stretches:
        (low, before), (high, after) = stretches.pop(0)
        if before == after or (before, after) in found:
            continue
        while high - low > 1:
            # Forward, since that needs no jump for each place.
            for place in range(low + max((high - low) // _PARTS, 1), high, max((high - low) // _PARTS, 1)):
                if (here := await mode(place)) != before:
                    if here != after:
                        stretches.append(((place, here), (high, after)))
                    high, after = place, here
                    break
                low = place
        found.setdefault((before, after), high)
    return found


def test_f3_a_boot_sector_that_goes_through_all_modes(recorded: Recorded, tmp_path: Path) -> None:
    root = recorded("boot")
    copy = shutil.copytree(root, tmp_path / "copy")
    elf = boot_sector()

    async def walked() -> Counter[tuple[CodeMode, CodeMode]]:
        async with await Replay.open(copy) as replay, Debugger.on(replay, "gdb", None) as debugger:
            await debugger.run(f"break *{symbol(elf, '_start').address:#x}")
            await debugger.run("continue")
            await debugger.run("delete")
            expected = await observe(root, replay.position.icount, _ROUND)
            assert symbol(elf, "_start").address in [entry.pc for entry in expected.entries[:5]]
            return await Walk(replay, debugger, expected).go(_ROUND)

    small, wide, long = CodeMode.BITS16, CodeMode.BITS32, CodeMode.BITS64
    assert asyncio.run(walked()).keys() == {(small, wide), (wide, long), (long, wide), (wide, small)}


def test_f3_finish_and_until_without_symbols(recorded: Recorded, tmp_path: Path) -> None:
    """GDB knows no frames there: the shell runs to the return itself, past calls inside, and stops at breakpoints."""
    root, elf = recorded("boot"), boot_sector()
    outer, inner, after = (symbol(elf, name).address for name in ("outer", "inner", "after_call"))
    copy = shutil.copytree(root, tmp_path / "copy")

    async def walked() -> None:
        async with await Replay.open(copy) as replay, Debugger.on(replay, "gdb", None) as debugger:

            async def at(line: str) -> int:
                (stopped,) = await debugger.run(line)
                assert isinstance(stopped, Stopped)
                assert stopped.stop.position == replay.position
                return await replay.pc()

            await debugger.run(f"break *{outer:#x}")
            assert await at("continue") == outer
            with pytest.raises(GdbError, match=r"go up\.\nGDB finds no caller here; 'finish' returns"):
                await debugger.run("up")
            called = replay.position
            assert await at("finish") == after
            expected = await observe(root, called.icount, 10)
            assert [entry.pc for entry in expected.entries if entry.position == replay.position] == [after]
            assert await at("reverse-continue") == outer
            await debugger.run(f"break *{inner:#x}")
            assert await at("fin") == inner
            assert await at("finish") == outer + 4
            assert await at("stepi") == outer + 5
            assert await at("finish") == after
            await replay.seek(called)
            assert await at(f"until *{inner:#x}") == inner
            await debugger.run("delete")
            await replay.seek(called)
            assert await at(f"until *{after:#x}") == after
            wide = symbol(elf, "wide").address
            await debugger.run(f"break *{wide:#x}")
            (stopped,) = await debugger.run("continue")
            assert isinstance(stopped, Stopped)
            assert f"{wide:#x}:\tinc    %edi" in stopped.text, "it was 16-bit code before"
            assert await at("finish") == symbol(elf, "protected").address + 0x12
            await debugger.run("delete")
            await replay.seek(called)
            await debugger.run("watch *0x6ff8:8")
            assert await at("continue") == outer + 1, "a long is of eight bytes, also where code has 16 bits"

    asyncio.run(walked())


@pytest.mark.parametrize("program", PROGRAMS)
def test_points_set_in_real_mode_are_those_of_64_bit_code_in_gdb(
    recorded: Recorded, tmp_path: Path, program: str
) -> None:
    """Conditions of registers that real mode has not; boot code is shown in its own mode all the same."""
    root, elf = recorded("boot"), boot_sector()
    names = ("long_mode", "outer", "inner", "after_call")
    long_mode, outer, inner, after = (symbol(elf, name).address for name in names)
    tell = "output/x $pc\necho \\n"
    script = "\n".join((
        f"break *{long_mode:#x} if $r8 == 2", "break *0xffffffff81000000", "stepi", "x/i $pc",
        "tbreak *0xfe062 if $pc == 0xfe062", "continue", tell, "continue", tell, "print $r8",
        f"tbreak *{outer:#x}", "continue", "x/2i $pc", "rrdbg finish", tell, "x/i $pc", "print/x $esp",
        "reverse-continue", tell, "print $r8", "delete", f"tbreak *{outer:#x}", "continue",
        "watch *(unsigned long *) 0x6ff8", "continue", tell, "x/i $pc", "monitor finish", tell, "print/x $esp",
    ))  # fmt: skip

    async def printed() -> list[str]:
        async with serving(root, tmp_path) as (_, address):
            words = ("-ex", f"source {SCRIPT}", "-ex", f"target remote {address}", "-ex", "echo connected\\n")
            lines = await output_of(program, *words, script=script, folder=tmp_path)
            return lines[lines.index("connected") + 1 :]

    told = [" ".join(line.split()) for line in asyncio.run(printed()) if re.match(r"=> | +0x|\$\d|0x[0-9a-f]+$", line)]
    assert told == [
        "=> 0xfe05b: cmpl $0x0,%cs:0x61c8", "0xfe062", f"{long_mode:#x}", "$1 = 2",
        f"=> {outer:#x}: push %bx", f"{outer + 1:#x}: call {inner:#x}", f"{after:#x}", f"=> {after:#x}: inc %cx",
        "$2 = 0x7000", f"{long_mode:#x}", "$3 = 2",
        f"{outer + 1:#x}", f"=> {outer + 1:#x}: call {inner:#x}", f"{after:#x}", "$4 = 0x7000",
    ]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_where_gdb_finds_no_caller_it_is_said_what_leads_there(
    recorded: Recorded, tmp_path: Path, program: str
) -> None:
    root, elf = recorded("boot"), boot_sector()
    outer, after = (symbol(elf, name).address for name in ("outer", "after_call"))
    script = (
        f"tbreak *{outer:#x}\ncontinue\n"
        "python\nfor line in ('finish', 'up'):\n    try:\n        gdb.execute(line)\n"
        "    except gdb.error as error:\n        print('refused:', error)\nend\n"
        "rrdbg finish\noutput/x $pc\necho \\n\n"
    )

    async def printed() -> list[str]:
        async with serving(root, tmp_path) as (_, address):
            words = ("-ex", f"source {SCRIPT}", "-ex", f"target remote {address}")
            return await output_of(program, *words, script=script, folder=tmp_path)

    lines = asyncio.run(printed())
    assert f"{after:#x}" in lines
    way_out = "rrdbg: GDB finds no caller here; 'rrdbg finish' returns to it by the stack pointer."
    told = [line for line in lines if line == way_out or line.startswith("refused: ")]
    assert told[0::2] == [way_out, way_out]
    assert "outermost frame" in told[1]
    assert "go up" in told[3]
    assert len(told) == 4


@pytest.mark.parametrize("program", PROGRAMS)
def test_points_set_in_real_mode_by_a_front_end_are_those_of_64_bit_code(
    recorded: Recorded, tmp_path: Path, program: str
) -> None:
    """Over GDB/MI, where no hooks are run."""
    root, elf = recorded("boot"), boot_sector()
    long_mode, outer = (symbol(elf, name).address for name in ("long_mode", "outer"))

    async def walked(replay: Replay, gdb: Gdb) -> None:
        await gdb.execute(f'-break-insert -c "$r8 == 2" *{long_mode:#x}')
        answer = await gdb.execute("-exec-continue")
        assert answer.stopped
        assert answer.stopped["reason"] == "breakpoint-hit"
        assert await replay.pc() == long_mode
        assert await gdb.value("$r8") == "2"
        await gdb.execute("-break-delete")
        await gdb.execute(f"-break-insert *{outer:#x}")
        await gdb.execute("-exec-continue")
        assert await replay.pc() == outer
        assert (await gdb.console("x/i $pc")).endswith("push   %bx\n")

    async def connected() -> None:
        async with serving(root, tmp_path) as (replay, address):
            gdb = await Gdb.start(program)
            try:
                await gdb.console(f"source {SCRIPT}")
                await gdb.console(f"target remote {address}")
                await walked(replay, gdb)
            finally:
                await gdb.close()

    asyncio.run(connected())


def test_an_instruction_is_read_whole_wherever_it_lies(recorded: Recorded, tmp_path: Path) -> None:
    """QEMU's monitor cuts the first one that it is asked for at each KiB, and reads on for those that come later."""
    copy = shutil.copytree(recorded("boot"), tmp_path / "copy")

    async def compared() -> int:
        async with await Replay.open(copy) as replay:
            replay.points.add_breakpoint(symbol(boot_sector(), "outer").address)
            await replay.cont()
            listed = await replay.disassemble(0xF_C000, 4_000)
            pairs = itertools.pairwise(listed)
            cut = [one for one, (after, _) in pairs if one[0] // 1024 != (after - 1) // 1024]
            for line in cut:
                assert await replay.disassemble(line[0], 1) == [line]
            return len(cut)

    assert asyncio.run(compared()) > 2


def test_what_never_returns_is_said(recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "LONGEST", 20)
    copy = shutil.copytree(recorded("boot"), tmp_path / "copy")

    async def tried() -> None:
        async with await Replay.open(copy) as replay:
            with pytest.raises(UsageError, match="Nothing returned within 20 instructions"):
                await returning.run_out(replay, ())
            assert replay.position == START

    asyncio.run(tried())


def test_a_value_is_followed_over_the_stack_of_real_mode(recorded: Recorded, tmp_path: Path) -> None:
    root, elf = recorded("boot"), boot_sector()
    copy = shutil.copytree(root, tmp_path / "copy")
    place, slot = RegisterPlace("rbx", 2), MemoryPlace(0x6FFC, 2)

    async def followed() -> list[Hop]:
        async with await Replay.open(copy) as replay:
            replay.points.add_breakpoint(symbol(elf, "after_call").address)
            await replay.cont()
            return [hop async for hop in origin(replay, place)]

    hops = asyncio.run(followed())
    assert [(hop.place, hop.source) for hop in hops] == [(place, slot), (slot, place), (place, None)]
    assert {hop.value for hop in hops} == {b"\x34\x12"}
    assert hops[-1].end == CONSTANT
    expected = asyncio.run(observe(root, hops[-1].position.icount, 12, {slot.address: slot.size}))
    for hop, address in zip(hops, (4, 0, None), strict=True):
        index = expected.index(hop.position)
        assert expected[index].pc == hop.pc
        assert address is None or hop.pc == symbol(elf, "outer").address + address
    assert expected.changes(slot.address) == [expected.index(hops[1].position)]


HANDBOOK = Path(__file__).parents[2] / "docs" / "howto" / "gdb.md"


@pytest.mark.parametrize("gdb", PROGRAMS)
def test_f3_a_gdb_without_the_extension_is_told_by_hand(recorded: Recorded, tmp_path: Path, gdb: str) -> None:
    """With the lines of docs/howto/gdb.md, in real mode, after the change to protected mode, and back."""
    typed = [line for line in re.findall(r"\(gdb\) (.*)", HANDBOOK.read_text()) if "tdesc" in line or "i8086" in line]
    assert len(typed) == 4
    root, elf = recorded("boot"), boot_sector()
    outer, wide = symbol(elf, "outer").address, symbol(elf, "protected").address

    def told(mode: str) -> list[str]:
        return [line.replace("i8086", mode) for line in typed]

    commands = [
        f"break *{outer:#x}", "continue", *told("i8086"), "x/2i $pc", "stepi", "x/2i $pc", f"until *{outer + 4:#x}",
        "x/i $pc", "stepi", "x/i $pc", f"break *{wide:#x}", "continue", *told("i386"), "x/2i $pc", "reverse-stepi",
        *told("i8086"), "x/i $pc", "delete", f"break *{outer:#x}", "reverse-continue", "x/i $pc",
    ]  # fmt: skip

    async def printed() -> str:
        async with serving(root, tmp_path) as (_, address):
            # A GDB has this architecture once it has loaded any program for x86-64.
            words = ["set architecture i386:x86-64", f"target remote {address}", *commands]
            process = await asyncio.create_subprocess_exec(
                gdb, "-nx", "-batch", *itertools.chain.from_iterable(("-ex", word) for word in words),
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            output, _ = await process.communicate()
            return output.decode()

    shown = [line.split(":\t", 1)[1] for line in asyncio.run(printed()).splitlines() if ":\t" in line]
    assert [" ".join(line.split()) for line in shown] == [
        "push %bx", "call 0x7c34", "call 0x7c34", "pop %bx", "pop %bx", "ret",
        "mov $0x10,%ax", "mov %eax,%ds", "ljmp $0x8,$0x7c38", "push %bx",
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.timeout(3600)
def test_f3_firmware_steps_over_each_change_of_mode(recorded: Recorded, tmp_path: Path, name: str) -> None:
    root = recorded(name)
    copy = shutil.copytree(root, tmp_path / "copy")

    async def walked() -> Counter[tuple[CodeMode, CodeMode]]:
        seen: Counter[tuple[CodeMode, CodeMode]] = Counter()
        async with await Replay.open(copy) as replay:
            places = await changes(replay)
            async with Debugger.on(replay, "gdb", None) as debugger:
                for pair, icount in places.items():
                    expected = await observe(root, max(icount - STEPS // 2, 0), STEPS)
                    met = await Walk(replay, debugger, expected).go(len(expected) - 1)
                    assert met[pair]
                    print(f"{name}: {len(expected) - 1} steps both ways over {pair[0]} to {pair[1]} at {icount:,}")
                    seen += met
        return seen

    assert asyncio.run(walked())
