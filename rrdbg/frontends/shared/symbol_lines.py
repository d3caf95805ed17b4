"""How a GDB is told of the guest's symbols: from which file, and how far the kernel lies from where it was linked."""

from __future__ import annotations

import asyncio
import logging
import shlex
from pathlib import Path

from rrdbg.engine.linux.kernel import kernel_of, symbols_kept
from rrdbg.engine.replay import Replay
from rrdbg.links.elf import read_kernel_file

_log = logging.getLogger(__name__)


def _file(path: Path) -> str:
    # GDB takes words apart as a shell does.
    return f"file {shlex.quote(str(path))}"


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
    if not offset:
        return [_file(symbols)]
    return [file.line_to_move(offset)]
