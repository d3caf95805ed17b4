"""drgn on a recording: a program whose memory is the guest's at the cursor, so that it follows the cursor.

drgn asks for physical memory and walks the kernel's page tables itself. It waits for each answer, so it is used from a
thread that may wait: that of the synchronous API.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrdbg.commands.session import Session
from rrdbg.engine.linux.cursor_memory import CursorMemory
from rrdbg.engine.linux.kernel import symbols_kept
from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.links.elf import read_kernel_file

if TYPE_CHECKING:
    import drgn

_ADDRESSES = 1 << 52
"""Physical addresses that there may be, on x86-64 and AArch64; fewer on RISC-V."""

_log = logging.getLogger(__name__)

Wait = Callable[[Coroutine[Any, Any, bytes]], bytes]
"""Runs a coroutine on the replay's event loop and waits for its result."""


@dataclass(frozen=True, slots=True)
class ToldOfKernel:
    """What a kernel tells of itself (``vmcoreinfo``), addresses by ``names``, and the ``vmlinux`` if there is one."""

    vmcoreinfo: bytes
    names: Mapping[str, int]
    vmlinux: Path | None


async def told_of_kernel(session: Session, symbols: Path | None) -> ToldOfKernel:
    """That of the guest's kernel; ``symbols`` are taken for it if they are a kernel's.

    :raises UsageError: there is no drgn, or no Linux, or it does not tell, or ``symbols`` are of another build.
    :raises LinkError: QEMU's memory cannot be read here.
    """
    require_drgn()  # before anything is looked for
    text = await session.linux.vmcoreinfo()
    kernel, kept = session.linux.known, symbols_kept(session.replay.recording)
    names = (await asyncio.to_thread(read_kernel_file, kept)).addresses if kept else {}
    file = await asyncio.to_thread(read_kernel_file, symbols) if symbols else None
    if file is None or not file.is_kernel or kernel is None:
        return ToldOfKernel(text, names, None)
    file.offset(kernel, names)
    return ToldOfKernel(text, names, symbols)


class DrgnProgram:
    """drgn's view of ``replay``, whose kernel has ``told``; ``wait`` waits for what drgn asks.

    :raises UsageError: drgn is not there or too old, or does not know the guest's architecture.
    """

    def __init__(self, replay: Replay, told: ToldOfKernel, wait: Wait) -> None:
        self.wait = wait
        """Who waits: another one when the program is asked for in another thread."""
        self._memory = CursorMemory(replay)
        self.program = _made(replay.recording.manifest.invocation.architecture, told.vmcoreinfo, self._read)
        """drgn's own object."""
        self._name(told)

    def close(self) -> None:
        """Let the guest's memory go."""
        self._memory.close()

    def _read(self, address: int, count: int, offset: int, physical: bool) -> bytes:  # as drgn calls it
        found = self.wait(self._memory.physical(address, count))
        if len(found) < count:
            raise require_drgn().FaultError("there is no RAM in the guest", address + len(found))
        return found

    def _name(self, told: ToldOfKernel) -> None:
        drgn = require_drgn()
        unknown = drgn.SymbolBinding.UNKNOWN, drgn.SymbolKind.UNKNOWN
        listed = sorted(told.names.items(), key=lambda item: item[1])
        ends = [*(address for _, address in listed[1:]), 0]
        # Not by drgn's own helper, which reads them in the guest: at the start of a recording they are not there yet.
        found = [
            drgn.Symbol(name, address, max(end - address, 0), *unknown)
            for (name, address), end in zip(listed, ends, strict=True)
        ]
        self.program.register_symbol_finder("kallsyms", drgn.SymbolIndex(found), enable_index=-1)
        if told.vmlinux:
            try:
                self.program.load_debug_info([told.vmlinux])
            except drgn.MissingDebugInfoError as error:
                _log.warning("drgn has no types from %s: %s", told.vmlinux, error)


def _made(architecture: str, vmcoreinfo: bytes, read: Callable[[int, int, int, bool], bytes]) -> drgn.Program:
    drgn = require_drgn()
    names = {"x86_64": "X86_64", "aarch64": "AARCH64", "riscv64": "RISCV64"}
    known = getattr(drgn.Architecture, names.get(architecture, ""), None)
    if known is None:
        raise UsageError(f"drgn does not know guests of the architecture {architecture}.")
    program = drgn.Program(drgn.Platform(known))
    program.add_memory_segment(0, _ADDRESSES, read, physical=True)
    program.set_linux_kernel_custom(vmcoreinfo, is_live=True)
    return program


def require_drgn() -> Any:
    """drgn itself, which is an extra.

    :raises UsageError: it is not there, or too old.
    """
    try:
        import drgn
    except ImportError:
        raise UsageError("drgn is not in the Python that rrdbg runs in: pip install 'rrdbg[drgn]'.") from None
    if not hasattr(drgn.Program, "set_linux_kernel_custom"):
        raise UsageError("The drgn in the Python that rrdbg runs in is older than 0.1.0: pip install -U 'rrdbg[drgn]'.")
    return drgn
