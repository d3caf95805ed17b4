"""What GDB's extensions for kernels ask of a Linux guest: is it a QEMU, its page tables, kallsyms, its slab caches.

They find all of it themselves, by a few packets, the monitor, and by reading memory, physical memory among it. So does
the script here; what it must find is what rrdbg reads of another QEMU, at the same position.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rrdbg.engine.linux.memory import KernelMemory
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.replay import Replay
from rrdbg.model.linux.btf import Btf
from rrdbg.model.linux.kallsyms import Kallsyms, read_kallsyms
from tests.linux.asked import printed
from tests.server.conftest import Debugger, debugging

pytestmark = [pytest.mark.matrix, pytest.mark.linux, pytest.mark.timeout(1800)]

_IMAGE = 0xFFFFFFFF80000000, 0xFFFFFFFFC0000000
_MAPPED = re.compile(r"^([0-9a-f]{16})-([0-9a-f]{16}) ([0-9a-f]{16}) ([-urw]{3})$", re.MULTILINE)
_FRAME = 0x000FFFFFFFFFF000
_CACHE = {name: f"kmem_cache.{name}" for name in ("list", "name", "size", "cpu_slab")}


class Script:
    """An extension in a GDB at a recording."""

    def __init__(self, debugger: Debugger, folder: Path) -> None:
        self._gdb = debugger.gdb
        self._file = folder / "read"

    async def packet(self, packet: str) -> str:
        """The answer to a packet."""
        said = await self._gdb.console(f"maintenance packet {packet}")
        found = re.search(r'received: "(.*)"', said)
        assert found, said
        return found[1]

    async def monitor(self, line: str) -> str:
        return await self._gdb.console(f"monitor {line}")

    async def register(self, name: str) -> int:
        """One of those that GDB does not know of: the monitor does."""
        found = re.search(rf"\b{name}=\s*([0-9a-f]+)", await self.monitor("info registers"))
        assert found
        return int(found[1], 16)

    async def read(self, address: int, length: int) -> bytes:
        await self._gdb.console(f"dump binary memory {self._file} {address:#x} {address + length:#x}")
        return self._file.read_bytes()

    async def number(self, address: int) -> int:
        return int.from_bytes(await self.read(address, 8), "little")

    async def text(self, address: int) -> str:
        return (await self.read(address, 32)).partition(b"\0")[0].decode()

    async def physical(self, address: int, length: int) -> bytes:
        assert await self.packet("Qqemu.PhyMemMode:1") == "OK"
        assert await self.packet("qqemu.PhyMemMode") == "1"
        try:
            return await self.read(address, length)
        finally:
            assert await self.packet("Qqemu.PhyMemMode:0") == "OK"

    async def frame(self, address: int) -> int | None:
        """The physical address that the page tables in use give an address; None where they give it none."""
        table = await self.register("CR3") & _FRAME
        for shift in (39, 30, 21, 12):
            entry = int.from_bytes(await self.physical(table + 8 * (address >> shift & 511), 8), "little")
            if not entry & 1:
                return None
            table = entry & _FRAME
            if shift == 12 or entry & 0x80:
                return table & -(1 << shift) | address & ((1 << shift) - 1)
        raise AssertionError

    async def mapped(self) -> list[tuple[int, int]]:
        """What is mapped, neighbours put together."""
        found: list[tuple[int, int]] = []
        for start, end, size, _ in _MAPPED.findall(await self.monitor("info mem")):
            low, high = int(start, 16), int(end, 16)
            assert high - low == int(size, 16)
            if found and found[-1][1] == low:
                low = found.pop()[0]
            found.append((low, high))
        return found

    async def kallsyms(self) -> tuple[Kallsyms, bytes, int]:
        """The kernel's names, out of its image; the image, and where that begins."""
        for low, high in await self.mapped():
            if _IMAGE[0] <= low < _IMAGE[1] and (
                found := read_kallsyms(image := await self.read(low, high - low), low)
            ):
                return found, image, low
        raise AssertionError("There is no image with kallsyms.")


@dataclass(frozen=True)
class Slab:
    """A cache of the slab allocator: the size of its objects, and the next free one of the CPU's."""

    name: str
    size: int
    free: int


async def slabs(script: Script, symbols: Kallsyms, types: Btf) -> list[Slab]:
    """The list of caches, as it is walked in a GDB."""
    at, length = {name: types.offset(path) or 0 for name, path in _CACHE.items()}, types.offset("kmem_cache")
    head, per_cpu = symbols.address("slab_caches"), symbols.address("__per_cpu_offset")
    assert head
    assert per_cpu
    assert length
    base = await script.number(per_cpu)
    found, here = [], await script.number(head)
    while here != head:
        cache = await script.read(here - at["list"], length)
        fields = {name: int.from_bytes(cache[offset : offset + 8], "little") for name, offset in at.items()}
        free = await script.number((base + fields["cpu_slab"]) & (1 << 64) - 1)
        found.append(Slab(await script.text(fields["name"]), fields["size"] & 0xFFFFFFFF, free))
        here = fields["list"]
        assert len(found) < 1000
    return found


def slabs_in(memory: KernelMemory, symbols: Kallsyms, types: Btf) -> list[Slab]:
    """The same, as rrdbg reads memory."""

    def number(address: int, size: int = 8) -> int:
        value = memory.number(address & (1 << 64) - 1, size)
        assert value is not None
        return value

    at = {name: types.offset(path) or 0 for name, path in _CACHE.items()}
    head, base = symbols.address("slab_caches") or 0, number(symbols.address("__per_cpu_offset") or 0)
    found, here = [], number(head)
    while here != head:
        cache = here - at["list"]
        name = memory.read(number(cache + at["name"]), 32).partition(b"\0")[0].decode()
        found.append(Slab(name, number(cache + at["size"], 4), number(base + number(cache + at["cpu_slab"]))))
        here = number(cache + at["list"])
    return found


async def elsewhere(replay: Replay, look: Callable[[KernelMemory], object]) -> None:
    """Have ``look`` read the kernel's memory in another machine that comes to the cursor's position."""

    async def visit(walker: Walker) -> None:
        await walker.walk_to(replay.position)
        memory = await KernelMemory.of(walker.machine)
        assert memory
        with memory:
            look(memory)

    await replay.visit(replay.position, visit)


async def looked_at(
    script: Script, debugger: Debugger, tasks: Replay, symbols: Kallsyms, image: bytes, start: int
) -> list[Slab]:
    """What there is to find where the guest stands, which is all as it is elsewhere; the slab caches."""
    low, high = (symbols.address(name) for name in ("__start_BTF", "__stop_BTF"))
    assert low
    assert high
    types = Btf.read(image[low - start : high - start])
    assert types
    banner, ticks = (symbols.address(name) or 0 for name in ("linux_banner", "jiffies"))
    addresses = [await debugger.number("$rsp"), banner, ticks, start, 0xDEAD0000]
    frames = [await script.frame(address) for address in addresses]
    described = await script.read(low, 1 << 18)
    assert described == image[low - start :][: 1 << 18]
    walked = await slabs(script, symbols, types)

    def compare(memory: KernelMemory) -> None:
        assert frames == [memory.frame(address) for address in addresses]
        assert memory.read(low, len(described)) == described
        assert memory.read(start, 1 << 16) == image[: 1 << 16]
        assert memory.read(banner, 14) == b"Linux version "
        assert walked == slabs_in(memory, symbols, types)

    await elsewhere(tasks, compare)
    for address, frame in zip(addresses, frames, strict=True):
        told = await script.monitor(f"gva2gpa {address:#x}")
        assert told.strip() == ("Unmapped" if frame is None else f"gpa: {frame:#x}")
        if frame is not None:
            assert await script.physical(frame, 8) == await script.read(address, 8)
    return walked


async def test_what_they_ask_is_answered_right_at_two_positions(
    tasks: Replay, tasks_recording: Path, tmp_path: Path
) -> None:
    known: list[dict[str, int]] = []
    async with debugging(tasks_recording, None, tmp_path) as debugger:
        script = Script(debugger, tmp_path)
        assert "ENABLE=" in await script.packet("Qqemu.sstepbits")
        assert await script.packet("qOffsets") == "", "or it is one that runs programs"
        assert "enabled" not in await script.monitor("info kvm")
        assert len((await script.monitor("info cpus")).splitlines()) == 1
        # Where QEMU has the guest's memory is what they read /proc/PID/mem by, of any QEMU that they find.
        assert not re.search(r"is 0x", await script.monitor("gpa2hva 0x1000"))
        kernel: tuple[Kallsyms, bytes, int] | None = None
        for place in (printed(tasks, "witness: main"), tasks.timeline.end):
            await debugger.seek(place)
            await tasks.seek(place)
            kernel = kernel or await script.kallsyms()
            walked = await looked_at(script, debugger, tasks, *kernel)
            known.append({slab.name: slab.free for slab in walked})
            assert {"kmalloc-64", "dentry", "task_struct"} <= set(known[-1])
    assert known[0] != known[1], "time has gone on between them"
