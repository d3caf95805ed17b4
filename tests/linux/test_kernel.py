"""Where the kernel lies, and what its parts are called: the guest has printed it itself, from /proc/kallsyms."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path

import pytest

from rrdbg.engine.linux.kernel import kernel_of, symbols_kept
from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.frontends.cli.gdbinit import init_line
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.frontends.shared.symbol_lines import symbol_lines
from rrdbg.links.elf import read_kernel_file
from rrdbg.model.hits.stop import Breakpoint
from rrdbg.model.timeline.position import START
from rrdbg.store.linux_file import load_kernel
from rrdbg.store.recording import Recording
from tests.extension.conftest import output_of
from tests.guests.build import run_tool

pytestmark = [pytest.mark.linux, pytest.mark.timeout(600)]

_LISTED = re.compile(r"^([0-9a-f]{16}) (\w) (\w+)\r?$", re.MULTILINE)
_LINKED_AT = 0xFFFFFFFF81000000


def told(recording: Path) -> dict[str, int]:
    """The addresses that the guest has printed."""
    return {name: int(address, 16) for address, _, name in _LISTED.findall((recording / "console.log").read_text())}


def make_elf(path: Path, symbols: Mapping[str, int], build_id: str = "") -> Path:
    """An ELF file as a linker makes it, with these symbols, at fixed places."""
    lines = ['.section .text, "ax"']
    for name, address in sorted(symbols.items(), key=lambda item: item[1]):
        lines += [f".org {address - _LINKED_AT:#x}", f".globl {name}", f".type {name}, @function", f"{name}:"]
    source, made = path.with_suffix(".s"), path.with_suffix(".o")
    source.write_text("\n".join([*lines, "nop", ""]))
    run_tool("gcc", "-c", "-o", str(made), str(source))
    words = [f"--build-id=0x{build_id}"] if build_id else []
    run_tool("ld", *words, f"-Ttext={_LINKED_AT:#x}", "-e", "start_kernel", "-o", str(path), str(made))
    run_tool("objcopy", *(word for name in ("__bss_start", "_edata", "_end") for word in ("-N", name)), str(path))
    return path


def test_the_guest_says_so_itself(tasks_recording: Path) -> None:
    with Recording.open(tasks_recording) as recording:
        kept = load_kernel(recording)
        path = symbols_kept(recording)
    assert kept
    assert kept.kernel
    assert path
    addresses = told(tasks_recording)
    assert len(addresses) == 10
    assert addresses["_text"] != _LINKED_AT, "this kernel has not moved; the tests below would prove nothing"
    assert kept.kernel.base == addresses["_text"]
    assert kept.kernel.banner in (tasks_recording / "console.log").read_text()
    assert {name: read_kernel_file(path).addresses[name] for name in addresses} == addresses


def test_binutils_read_the_file_of_symbols(tasks_recording: Path) -> None:
    path = tasks_recording / "kernel.elf"
    listed = run_tool("nm", str(path))
    assert f"{told(tasks_recording)['do_exit']:016x} T do_exit" in listed
    warned = subprocess.run(["readelf", "-hSW", str(path)], capture_output=True, text=True, check=True).stderr
    assert not warned


async def test_functions_have_names_from_the_start_on(tasks: Replay) -> None:
    """A breakpoint that is set in real mode is hit in the kernel, which is 64 bits wide and has moved by then."""
    addresses = told(tasks.recording.layout.root)
    async with aclosing(tasks.scan([Breakpoint(1, addresses["kthreadd"])], START, tasks.timeline.end)) as hits:
        first = await anext(hits)
    async with Debugger.on(tasks, "gdb", None) as debugger:
        await debugger.run("break kthreadd")
        await debugger.run("continue")
        assert tasks.position == first.position
        frame = await debugger.symbols.frame()
        assert frame
        assert frame.function == "kthreadd"
        assert await debugger.symbols.place(addresses["panic"] + 4) == "panic+4"
        assert await debugger.symbols.number("&linux_banner") == addresses["linux_banner"]


async def test_a_vmlinux_is_moved_to_where_the_kernel_lies(tasks: Replay, tmp_path: Path) -> None:
    addresses = told(tasks.recording.layout.root)
    kernel = await kernel_of(tasks)
    assert kernel
    linked = {name: address - addresses["_text"] + _LINKED_AT for name, address in addresses.items()} | {
        "_stext": _LINKED_AT
    }
    elf = make_elf(tmp_path / "vmlinux", linked, kernel.build_id)
    await tasks.seek(START)
    async with Debugger.on(tasks, "gdb", elf) as debugger:
        # The CPU has 16 bits there; the file tells GDB that the kernel has 64.
        await debugger.run("break kthreadd")
        await debugger.run("continue")
        assert await tasks.pc() - addresses["kthreadd"] in range(16), "GDB passes over a prologue"
        assert await debugger.symbols.number("&schedule") == addresses["schedule"]
    _, line, _ = await symbol_lines(tasks, make_elf(tmp_path / "unmoved", linked))
    assert f"-o {(addresses['_text'] - _LINKED_AT) % (1 << 64):#x}" in line


async def test_a_gdb_of_ones_own_has_the_kernels_names_or_a_vmlinux_moved(
    tasks_recording: Path, tmp_path: Path
) -> None:
    addresses = told(tasks_recording)
    linked = {name: address - addresses["_text"] + _LINKED_AT for name, address in addresses.items()} | {
        "_stext": _LINKED_AT
    }
    elf = make_elf(tmp_path / "vmlinux", linked)
    head, tail = f"set remotetimeout 60\n{init_line()}\n", f"rrdbg open {tasks_recording}\ninfo address schedule\n"
    named = await output_of("gdb", script=f"{head}{tail}", folder=tmp_path)
    script = f"{head}file {elf}\nbreak do_exit\n{tail}info breakpoints\n"
    moved = await output_of("gdb", script=script, folder=tmp_path)
    for lines in (named, moved):
        (found,) = [line for line in lines if '"schedule" is at' in line]
        assert int(found.split()[4].rstrip("."), 16) == addresses["schedule"]
    assert not any("are moved" in line for line in named)
    assert f"The symbols of {elf} are moved to where the kernel lies in this recording." in moved
    (point,) = [line for line in moved if "<do_exit" in line]
    assert int(point.split()[4], 16) - addresses["do_exit"] in range(16), "GDB passes over a prologue"


async def test_symbols_of_another_build_are_refused(tasks: Replay, tmp_path: Path) -> None:
    addresses = told(tasks.recording.layout.root)
    shuffled = dict(zip(sorted(addresses), (_LINKED_AT + 64 * number for number in range(10)), strict=True))
    shuffled["_stext"] = _LINKED_AT
    with pytest.raises(UsageError, match=r"another build than the guest's kernel 6.*symbols lie alike"):
        await symbol_lines(tasks, make_elf(tmp_path / "vmlinux", shuffled))
    linked = {name: address - addresses["_text"] + _LINKED_AT for name, address in addresses.items()}
    other = make_elf(tmp_path / "other", {**linked, "_stext": _LINKED_AT}, "ab" * 20)
    with pytest.raises(UsageError, match=r"another build \(build id abababababab\)"):
        await symbol_lines(tasks, other)


def test_what_others_have_found_counts_for_nothing(
    tasks_recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another key, so by another user, the recording tells of no kernel."""
    copy = Path(shutil.copytree(tasks_recording, tmp_path / "copy"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with Recording.peek(copy) as recording:
        assert load_kernel(recording) is None
        assert symbols_kept(recording) is None
