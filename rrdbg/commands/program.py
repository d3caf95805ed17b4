"""The functions of a guest's program, and how its stacks are unwound, for what is done without a GDB."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from rrdbg.commands.symbols import Symbols
from rrdbg.engine.linux.kernel import kernel_of, symbols_kept
from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.links.elf import read_kernel_file
from rrdbg.links.line_table import read_lines
from rrdbg.links.program_file import ProgramFile, read_program_file
from rrdbg.model.program.architecture import is_elf, other_architecture
from rrdbg.model.program.coverage import LineRange
from rrdbg.store.opening import open_regular
from rrdbg.store.recording import Recording

HEADER = 64
"""Bytes of an ELF file that tell what it is."""


def recorded_program(recording: Recording) -> Path | None:
    """The recorded kernel, if that is an ELF file of the guest's architecture."""
    kernel = recording.layout.bundled("kernel")
    try:
        with open_regular(kernel) as file:
            header = file.read(HEADER)
    except FileNotFoundError:
        return None
    other = other_architecture(header, recording.manifest.invocation.architecture)
    return kernel if is_elf(header) and other is None else None


async def program_of(replay: Replay, symbols: Path | None) -> ProgramFile | None:
    """What the file ``symbols`` says, or what a Linux guest's own kernel does; None where there is neither.

    A kernel's own tables say where it lies, and how its stacks are unwound; a vmlinux does neither.

    :raises UsageError: the file cannot be read.
    :raises LinkError: QEMU's memory cannot be read here, to look for the kernel.
    """
    if symbols is None or (await asyncio.to_thread(read_kernel_file, symbols)).is_kernel:
        await kernel_of(replay, anyway=symbols is not None)
        if kept := symbols_kept(replay.recording):
            return await asyncio.to_thread(read_program_file, kept)
    return None if symbols is None else await asyncio.to_thread(read_program_file, symbols)


class Names:
    """What the functions of a guest are called: as its ``program``'s file says, or without one as GDB does.

    ``symbols`` is called for the GDB, and gives None where there is none.
    """

    def __init__(self, program: ProgramFile | None, symbols: Callable[[], Symbols | None] = lambda: None) -> None:
        self.program = program
        self._symbols = symbols
        self._known: dict[int, tuple[str, int]] = {}

    @classmethod
    async def of(cls, replay: Replay, file: Path | None, symbols: Callable[[], Symbols | None]) -> Names:
        """For ``replay``'s guest, by the ``file`` of its symbols, or else by the recorded kernel."""
        try:
            return cls(await program_of(replay, file or recorded_program(replay.recording)), symbols)
        except UsageError:
            return cls(None, symbols)  # a file of a 32-bit machine: GDB reads it

    def has(self, name: str) -> bool:
        """Whether the program's file has a function of that very name."""
        return self.program is not None and any(function.name == name for function in self.program.functions.all)

    async def at(self, address: int) -> tuple[str, int]:
        """The function at ``address`` and how many bytes into it; an empty name where there is none."""
        if address not in self._known:
            self._known[address] = await self._found(address)
        return self._known[address]

    async def _found(self, address: int) -> tuple[str, int]:
        function = self.program.functions.at(address) if self.program else None
        if function:
            return function.name, address - function.address
        symbols = self._symbols()
        if self.program is None and symbols:
            name, _, offset = (await symbols.code(address)).partition("+")
            return name, int(offset or 0)
        return "", 0


async def line_table_of(replay: Replay, symbols: Path | None) -> list[LineRange]:
    """What the file ``symbols`` says of lines of source, at the addresses where a Linux kernel lies.

    :raises UsageError: there is no file, or it tells of no lines, or is of another build than the guest's kernel.
    """
    if symbols is None:
        raise UsageError("Lines of source are told by an ELF file that was compiled with -g; name one with --symbols.")
    ranges = await asyncio.to_thread(read_lines, symbols)
    file = await asyncio.to_thread(read_kernel_file, symbols)
    kernel = await kernel_of(replay, anyway=True) if file.is_kernel else None
    kept = symbols_kept(replay.recording)
    if kernel is None or kept is None:
        return ranges
    offset = file.offset(kernel, (await asyncio.to_thread(read_kernel_file, kept)).addresses)
    return [LineRange(each.start + offset, each.end + offset, each.line) for each in ranges]
