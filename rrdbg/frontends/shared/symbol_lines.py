"""How a GDB is told of the guest's symbols: from which file, and how far the kernel lies from where it was linked."""

from __future__ import annotations

import asyncio
import logging
import shlex
from pathlib import Path

from rrdbg.engine.linux.kernel import kernel_of, symbols_kept
from rrdbg.engine.replay import Replay
from rrdbg.links.elf import read_kernel_file
from rrdbg.links.program_file import read_frames
from rrdbg.model.linux.orc import switching_part
from rrdbg.model.linux.symbol_file import make_frames_file

_log = logging.getLogger(__name__)

FILE = "file "
"""How the command begins that names the program, of whose architecture the guest is then for GDB."""


def _file(path: Path) -> str:
    # GDB takes words apart as a shell does.
    return f"{FILE}{shlex.quote(str(path))}"


async def symbol_lines(replay: Replay, symbols: Path | None) -> list[str]:
    """GDB's commands that load the file ``symbols``, or what a Linux guest's own kernel tells where there is none.

    :raises UsageError: it is of another build than the guest's kernel.
    :raises LinkError: QEMU's memory cannot be read here, to look for the kernel.
    """
    if symbols is None:
        await kernel_of(replay)
        kept = symbols_kept(replay.recording)
        return [_file(kept)] if kept else []
    file = await asyncio.to_thread(read_kernel_file, symbols)
    if not file.is_kernel:
        return [_file(symbols)]
    kernel = await kernel_of(replay, anyway=True)
    kept = symbols_kept(replay.recording)
    if kernel is None or kept is None:
        _log.warning("No kernel with kallsyms was found in the guest; %s is used as it was linked.", symbols)
        return [_file(symbols)]
    offset = file.offset(kernel, (await asyncio.to_thread(read_kernel_file, kept)).addresses)
    own = [file.line_to_move(offset) if offset else _file(symbols)]
    before, behind = await asyncio.to_thread(_unwinding, replay, kept)
    return [*before, *own, *behind]


def _unwinding(replay: Replay, kept: Path) -> tuple[list[str], list[str]]:
    """What GDB is to read before a vmlinux, and what behind it, so that it finds frames where that says nothing right.

    Of several files the one that was read first counts.
    """
    frames = read_frames(kept)
    architecture = replay.recording.manifest.invocation.architecture
    lines: list[list[str]] = []
    for name, part in (("switching.elf", switching_part(frames)), ("frames.elf", frames)):
        if part:
            place = replay.recording.aside.place_of(Path(name))
            place.write_bytes(make_frames_file(part, architecture))
        lines.append([f'with confirm off -- add-symbol-file "{place}" -o 0'] if part else [])
    before, behind = lines
    return before, behind
