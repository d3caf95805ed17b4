"""The functions of a guest's program, and how its stacks are unwound, for what is done without a GDB."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rrdbg.engine.linux.kernel import kernel_of, symbols_kept
from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.links.elf import read_kernel_file
from rrdbg.links.line_table import read_lines
from rrdbg.links.program_file import ProgramFile, read_program_file
from rrdbg.model.program.coverage import LineRange


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
