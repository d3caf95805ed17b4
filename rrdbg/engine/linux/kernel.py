"""Which Linux kernel runs in a recording's guest, and where it lies; looked for once, and kept with the recording.

A kernel relocates itself as it begins (KASLR), so its tables are believed only where its banner is found at the address
that they give it. Where it lies then it stays. It is looked for where the guest prints something, and at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rrdbg.engine.linux.memory import KernelMemory
from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.replay import Replay
from rrdbg.errors import HostError, RecordingError, UsageError
from rrdbg.model.linux.btf import Btf
from rrdbg.model.linux.kallsyms import Kallsyms, read_kallsyms
from rrdbg.model.linux.kernel import BANNER, LONGEST_BANNER, Kernel, build_id_in, is_linux_image
from rrdbg.model.linux.orc import NEW_FORM, OLD_FORM, frames_from_orc
from rrdbg.model.linux.symbol_file import ELF_MACHINES, make_symbol_file
from rrdbg.model.linux.task import ADDRESSES, MEMBERS
from rrdbg.model.timeline.position import Position
from rrdbg.store.history import Console
from rrdbg.store.linux_file import load_kernel, save_kernel
from rrdbg.store.opening import open_regular
from rrdbg.store.recording import Recording

_HEADER = 1024
_LEAST_IMAGE, _MOST_IMAGE = 256 << 10, 256 << 20
_MOST_NOTES, _MOST_BTF, _MOST_ORC = 64 << 10, 64 << 20, 16 << 20
_MOST_LOOKS = 10
_ENTERED_BY_PROGRAMS = ("entry_SYSCALL_", "entry_SYSENTER_", "entry_INT80_", "ret_from_fork")
"""How the functions are called with which a task's stack begins; the last is where a new one does."""

_TYPES = ("__start_BTF", "__stop_BTF")
_KEPT = ("_text", "_stext", "_etext", "_end", "linux_banner", *_TYPES, *ADDRESSES)


async def kernel_of(replay: Replay, *, anyway: bool = False) -> Kernel | None:
    """The kernel of ``replay``'s guest; None if there is none, or nothing tells of one and it is not wanted ``anyway``.

    Unless it is known it is looked for in machines of their own; the cursor stays.

    :raises LinkError: QEMU's memory cannot be read here.
    """
    recording = replay.recording
    if kept := load_kernel(recording):
        return kept.kernel
    # The one QEMU that somebody has attached is not moved about to look for it.
    if recording.manifest.invocation.architecture not in ELF_MACHINES or not replay.replaces_qemu:
        return None
    console = await asyncio.to_thread(_console, recording)
    if not anyway and not _tells_of_linux(recording, console):
        return None
    for place in _places(replay, console):
        if found := await _look(replay, place):
            architecture = recording.manifest.invocation.architecture
            symbols = await asyncio.to_thread(make_symbol_file, found.kallsyms, architecture, found.frames)
            _keep(recording, found.kernel, symbols)
            return found.kernel
    _keep(recording, None)
    return None


def _keep(recording: Recording, kernel: Kernel | None, symbols: bytes | None = None) -> None:
    try:
        save_kernel(recording, kernel, symbols)
    except OSError as error:
        raise HostError.of(error, f"Cannot keep what was found in {recording.layout.root}") from None


def keep_kernel(recording: Recording, kernel: Kernel) -> None:
    """Keep more that was found out of the same kernel.

    :raises HostError: the disk is full.
    """
    _keep(recording, kernel)


def symbols_kept(recording: Recording) -> Path | None:
    """The ELF file of the kernel's symbols that :func:`kernel_of` has made; None if it has found no kernel by now."""
    kept = load_kernel(recording)
    return kept.symbols if kept else None


def _console(recording: Recording) -> Console | None:
    with contextlib.suppress(RecordingError):
        return Console.read(recording.layout.log, recording.layout.console)
    return None


def _tells_of_linux(recording: Recording, console: Console | None) -> bool:
    if console and BANNER in console.text:
        return True
    try:
        with open_regular(recording.layout.bundled("kernel")) as file:
            return is_linux_image(file.read(_HEADER))
    except FileNotFoundError:
        return False


def _places(replay: Replay, console: Console | None) -> Iterator[Position]:
    """Where to look, one after another: where something was printed, which firmware does, too, and at the end."""
    if console:
        if found := console.find(BANNER.decode(), Position(0)):
            yield found
        lines = [position for position, _ in console.lines()]
        number = 1
        for _ in range(_MOST_LOOKS):
            if number > len(lines):
                break
            yield lines[number - 1]
            number *= 3
    yield replay.timeline.end


async def _look(replay: Replay, place: Position) -> FoundKernel | None:
    async def look(walker: Walker) -> FoundKernel | None:
        memory = await KernelMemory.of(walker.machine)
        if memory is None:
            return None
        with memory:
            return await asyncio.to_thread(find_kernel, memory, place)

    return await replay.visit(place, look)


@dataclass(frozen=True, slots=True)
class FoundKernel:
    """A kernel that was found in memory, its symbols, and how its stack is unwound (a ``.debug_frame``, or empty)."""

    kernel: Kernel
    kallsyms: Kallsyms
    frames: bytes


def find_kernel(memory: KernelMemory, place: Position) -> FoundKernel | None:
    """The kernel in ``memory``, which is that at ``place``; None if there is none, or it has not relocated itself."""
    for stretch in memory.image():
        if stretch.length < _LEAST_IMAGE:
            continue
        kallsyms = read_kallsyms(memory.physical(stretch.physical, min(stretch.length, _MOST_IMAGE)), stretch.start)
        if kallsyms is None:
            continue
        if banner := _banner(memory, kallsyms):
            addresses = {name: value for name in _KEPT if (value := kallsyms.address(name)) is not None}
            types = types_of(memory, addresses)
            offsets = {name: at for name in MEMBERS if (at := types.offset(name)) is not None} if types else {}
            kernel = Kernel(banner, _build_id(memory, kallsyms), place, addresses, offsets)
            return FoundKernel(kernel, kallsyms, _frames(memory, kallsyms, types))
    return None


def _frames(memory: KernelMemory, kallsyms: Kallsyms, types: Btf | None) -> bytes:
    """How the kernel's stack is unwound; empty where it has no ORC, or no types that tell of which form that is."""
    places = _between(memory, kallsyms, "__start_orc_unwind_ip", "__stop_orc_unwind_ip", _MOST_ORC)
    entries = _between(memory, kallsyms, "__start_orc_unwind", "__stop_orc_unwind", _MOST_ORC)
    start = kallsyms.address("__start_orc_unwind_ip")
    if not types or not start or types.offset("orc_entry.type") is None:
        return b""
    form = NEW_FORM if types.offset("orc_entry.signal") is not None else OLD_FORM
    outermost = {symbol.address for symbol in kallsyms.symbols if symbol.name.startswith(_ENTERED_BY_PROGRAMS)}
    return frames_from_orc(places, start, entries, form, kallsyms.functions(), outermost)


def _banner(memory: KernelMemory, kallsyms: Kallsyms) -> str:
    """The banner where the kernel's tables have it; empty if it is not there."""
    address = kallsyms.address("linux_banner")
    text = memory.read(address, LONGEST_BANNER) if address else b""
    if not text.startswith(BANNER):
        return ""
    shown = text.partition(b"\0")[0].partition(b"\n")[0].decode(errors="replace")
    return "".join(character if character.isprintable() else "?" for character in shown)


def types_of(memory: KernelMemory, addresses: Mapping[str, int]) -> Btf | None:
    """What the kernel says of its types, which has some symbols at ``addresses``; None if it says nothing."""
    low, high = (addresses.get(name) for name in _TYPES)
    return Btf.read(_bytes(memory, low, high, _MOST_BTF))


def _between(memory: KernelMemory, kallsyms: Kallsyms, start: str, end: str, most: int) -> bytes:
    """What lies between two symbols."""
    return _bytes(memory, kallsyms.address(start), kallsyms.address(end), most)


def _bytes(memory: KernelMemory, low: int | None, high: int | None, most: int) -> bytes:
    return memory.read(low, high - low) if low and high and low < high <= low + most else b""


def _build_id(memory: KernelMemory, kallsyms: Kallsyms) -> str:
    return build_id_in(_between(memory, kallsyms, "__start_notes", "__stop_notes", _MOST_NOTES))[:64]


def no_kernel(replay: Replay) -> UsageError:
    """The error that there is no Linux."""
    return UsageError(
        f"No Linux kernel with kallsyms was found in {replay.recording.name}, where its guest prints or at its end."
    )
