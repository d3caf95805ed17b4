"""x86 in all its modes: what GDB shows is what the CPU executes, wherever the mode has changed, in both directions."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.links.layouts import layouts
from rrdbg.links.registers import register_file
from rrdbg.model.program.code_mode import CodeMode, CodeSegment, read_code_segment
from rrdbg.model.results import Output, Stopped
from rrdbg.model.timeline.position import Position
from tests.cli.conftest import Cli
from tests.guests.build import symbol

_SHOWN = re.compile(r"(0x[0-9a-f]+)(?: <[^>]*>)?:\t")
_STEPS = 40


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "library")


async def shown(debugger: Debugger) -> list[int]:
    """Where GDB sees the next instruction, and the one behind that: it tells how GDB has read the code."""
    (answer,) = await debugger.run("x/2i $pc")
    assert isinstance(answer, Output)
    return [int(address, 16) for address in _SHOWN.findall(answer.text)]


async def walk(replay: Replay, debugger: Debugger, steps: int) -> set[CodeMode]:
    """Step ``steps`` times forth and as often back, comparing with QEMU's disassembler; the modes that were met."""
    modes, forth = set(), []
    for number in range(steps + 1):
        segment = await (await replay.machine()).code_segment()
        assert segment
        modes.add(segment.mode)
        pc = await replay.pc()
        forth.append((replay.position, await shown(debugger)))
        # QEMU lists one only at the reset vector, which is at the top of memory.
        listed = [address for address, _ in await replay.disassemble(pc, 2)]
        assert len(listed) == 2 or pc == 0xFFFF_FFF0
        assert forth[-1][1][: len(listed)] == listed
        assert forth[-1][1][0] == pc
        if number < steps:
            (stopped,) = await debugger.run("stepi")
            assert isinstance(stopped, Stopped)
    for before in forth[-2::-1]:
        await debugger.run("reverse-stepi")
        assert (replay.position, await shown(debugger)) == before
    return modes


async def test_f3_firmware_is_shown_in_the_mode_that_it_runs_in(multiboot32: Path, tmp_path: Path) -> None:
    """SeaBIOS begins in real mode, and goes to 32-bit protected mode within some steps."""
    copy = shutil.copytree(multiboot32, tmp_path / "copy")
    async with await Replay.open(copy) as replay, Debugger.on(replay, "gdb", None) as debugger:
        assert await walk(replay, debugger, _STEPS) == {CodeMode.BITS16, CodeMode.BITS32}


async def test_f3_the_way_to_long_mode_and_back(workload: Path, workload_guest: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(workload, tmp_path / "copy")
    async with await Replay.open(copy) as replay, Debugger.on(replay, "gdb", workload_guest) as debugger:
        entry = symbol(workload_guest, "long_mode").address
        await debugger.run(f"break *{entry:#x}")
        await debugger.run("continue")
        assert await replay.pc() == entry
        await replay.seek(Position(replay.position.icount - 10))
        await debugger.run("delete")
        assert await walk(replay, debugger, 20) == {CodeMode.BITS32, CodeMode.BITS64}


def test_f2_a_32_bit_program_on_a_64_bit_machine(cli: Cli, multiboot32: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(multiboot32, tmp_path / "copy")
    orders = ("-ex", "break *_start", "-ex", "continue", "-ex", "x/2i $pc", "-ex", "stepi 3", "-ex", "print/x $eip")
    done = cli("replay", str(copy), "--at", "start", "--batch", *orders, "-ex", "reverse-stepi")
    assert "<_start>:\tcld" in done.stdout
    assert "mov    $0x200000,%edi" in done.stdout
    assert "= 0x100017" in done.stdout
    assert not done.stderr
    done = cli("gdb", str(copy), "--", "-batch", *orders)
    assert "<_start>:\tcld" in done.stdout
    assert "= 0x100017" in done.stdout


def test_f3_boot_code_by_linear_address(cli: Cli, multiboot32: Path, tmp_path: Path) -> None:
    """Real mode, where CS's base is not 0: 0xf000:0xe05b is at 0xfe05b, and a breakpoint there is hit again."""
    copy = shutil.copytree(multiboot32, tmp_path / "copy")
    orders = ("-ex", "stepi", "-ex", "print/x $pc", "-ex", "break *$pc", "-ex", "stepi 50", "-ex", "reverse-continue")
    for words in (("replay", str(copy), "--at", "start", "--batch"), ("gdb", str(copy), "--", "-batch")):
        done = cli(*words, *orders, "-ex", "x/2i $pc")
        assert "= 0xfe05b" in done.stdout
        assert "Breakpoint 1, 0x000fe05b in ?? ()" in done.stdout
        assert re.search(r"=> 0xfe05b:\tcmpl .*%cs:.*\n +0xfe062:\tjne", done.stdout)


def test_f3_boot_code_while_a_kernel_has_a_breakpoint(cli: Cli, multiboot32: Path, tmp_path: Path) -> None:
    """GDB has no address for that in 16-bit code, and sees the CPU as a 64-bit one while it moves."""
    copy = shutil.copytree(multiboot32, tmp_path / "copy")
    orders = ("-ex", "break *0xffffffff81000000", "-ex", "x/i $pc", "-ex", "stepi", "-ex", "reverse-stepi")
    done = cli("replay", str(copy), "--at", "start", "--batch", *orders)
    shown = [(int(place, 16), name) for place, name in re.findall(r"=> (0x[0-9a-f]+):\t(\w+)", done.stdout)]
    assert shown == [(0xFFFF_FFF0, "ljmp"), (0xF_E05B, "cmpl"), (0xFFFF_FFF0, "ljmp")]


def test_f3_a_condition_that_is_set_in_boot_code_is_met_in_64_bit_code(
    cli: Cli, workload: Path, workload_guest: Path, tmp_path: Path
) -> None:
    copy, entry = shutil.copytree(workload, tmp_path / "copy"), symbol(workload_guest, "long_mode").address
    for condition, hit in (("$rsp != 12345", True), ("$rsp == 12345", False)):
        orders = ("-ex", f"break *{entry:#x} if {condition}", "-ex", "continue")
        done = cli("replay", str(copy), "--at", "start", "--batch", *orders)
        assert ("Breakpoint 1, " in done.stdout) == hit


async def test_f3_a_what_if_writes_the_pc_as_it_shows_it(multiboot32: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(multiboot32, tmp_path / "copy")
    async with await Replay.open(copy) as replay, Debugger.on(replay, "gdb", None) as debugger:
        await debugger.run("stepi 1")
        assert debugger.session.what_if
        await debugger.session.what_if(True)
        await debugger.run("set var $pc = 0xfe062")
        await debugger.run("set var $eax = 0x12345678")
        assert (await shown(debugger))[0] == 0xFE062
        (answer,) = await debugger.run("print/x $eax")
        assert isinstance(answer, Output)
        assert answer.text.endswith("= 0x12345678\n")
        await debugger.session.what_if(False)
        assert (await shown(debugger))[0] == 0xFE05B


def test_what_the_monitor_tells_of_the_code_segment() -> None:
    def told(line: str, *, long: bool = False) -> CodeSegment | None:
        return read_code_segment(f"EAX=0\nES =0000 00000000 0000ffff 00009300\n{line}\nSS =0000 0 0 0\n", long=long)

    assert told("CS =f000 ffff0000 0000ffff 00009b00") == CodeSegment(CodeMode.BITS16, 0xFFFF0000)
    assert told("CS =0008 00000000 ffffffff 00cf9b00 DPL=0 CS32 [-RA]") == CodeSegment(CodeMode.BITS32)
    assert told("CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64", long=True) == CodeSegment(CodeMode.BITS64)
    assert told("CS =0023 00000000 ffffffff 00cffb00 DPL=3 CS32 [-RA]", long=True) == CodeSegment(CodeMode.BITS32)
    assert told("") is None
    assert CodeSegment(CodeMode.BITS16, 0xFFFF0000).linear(0xFFF0) == 0xFFFFFFF0
    assert CodeSegment(CodeMode.BITS16, 0xF0000).pointer(0xFE05B) == 0xE05B


def test_registers_have_qemus_numbers_in_each_layout() -> None:
    names = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *(f"r{number}" for number in range(8, 16)), "rip"]
    small = ["eflags", "cs", "ss", "ds", "es", "fs", "gs"]
    small += ["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"]
    registers = [*((name, 64) for name in names), *((name, 32) for name in small), ("mxcsr", 32)]
    registers += [*((f"st{number}", 80) for number in range(8)), *((f"xmm{number}", 128) for number in range(16))]
    document = "".join(f'<reg name="{name}" bitsize="{bits}"/>' for name, bits in registers)
    documents = {"target.xml": f"<target><architecture>i386:x86-64</architecture>{document}</target>"}
    file = register_file("i386:x86-64", documents)
    packet = b"".join(b"%02x" % index * (bits // 8) for index, (_, bits) in enumerate(registers))
    layout = layouts(documents, file)[CodeMode.BITS16]
    segment = CodeSegment(CodeMode.BITS16, 0xF0000)
    own = register_file("i386", layout.documents).decode(layout.shown(packet, segment))
    assert own["eax"] == 0
    assert own["ebx"] == 0x01010101
    assert own["esp"] == 0x07070707
    assert own["eip"] == (0x10101010 + 0xF0000)
    assert own["mxcsr"] == 0x20202020
    assert layout.register(packet, segment, 1) == b"01010101"
    assert layout.register(packet, segment, 8) is None
    assert layout.written(b"1=78563412", segment) == b"P1=7856341200000000"
    assert layout.written(b"10=5be00f00", segment) == b"P10=5be0000000000000"
    with pytest.raises(ValueError, match="no register"):
        layout.written(b"8=00", segment)
