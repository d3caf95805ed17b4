"""A vmlinux that the user has given GDB, moved to where the kernel lies in the recording (KASLR).

The server has found out where that is; which of the kernel's symbols are where in the file, GDB says.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable

import gdb

from rrdbg.errors import RrdbgError, UsageError
from rrdbg.frontends.gdb.channel import Json, Watcher
from rrdbg.frontends.gdb.client import Client
from rrdbg.frontends.gdb.progress import ProgressLine
from rrdbg.model.linux.kernel import Kernel, KernelFile
from rrdbg.model.timeline.position import START

_ADDRESS = re.compile(r"\b0x[0-9a-f]+")
_TELLING = ("linux_banner", "init_task", "_stext", "start_kernel")
"""Symbols by which a kernel is known, see :attr:`KernelFile.is_kernel`."""

_PERCPU_START = "__per_cpu_start"
_KERNEL_HALF = 1 << 63


class KernelMover:
    """Moves the kernel's symbols once for each file that GDB is given, and each server that it is connected to."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._placed: tuple[str, str] | None = None

    def place(self) -> None:
        """Have the symbols of GDB's main file at their places, if it is a kernel's; what goes wrong is shown.

        Those of files that the user has added himself, at addresses of his choice, stay there.
        """
        space = gdb.current_progspace()
        path = space.filename if space else None
        channel = self._client.find()
        if not path or channel is None or self._placed == (path, channel.recording):
            return
        self._placed = path, channel.recording
        if not KernelFile(path, "", _addresses(_TELLING)).is_kernel:
            return
        try:
            line = self._line(path)
        except RrdbgError as error:
            gdb.write(f"rrdbg: {error}\n", gdb.STDERR)
            return
        if line:
            gdb.execute("with confirm off -- symbol-file", to_string=True)
            gdb.execute(line, to_string=True)
            gdb.write(f"The symbols of {path} are moved to where the kernel lies in this recording.\n")

    def _line(self, path: str) -> str:
        """GDB's command that moves the symbols of ``path``; empty if they lie right.

        :raises RrdbgError: it is of another build, or there is no kernel to be found.
        """
        found: list[Json] = []
        with ProgressLine() as progress:
            try:
                self._client.run("info kernel", Watcher(found.append, progress.show))
            except RrdbgError as error:
                raise UsageError(f"{error} {path} is used as it was linked.") from None
        told = found[0]
        kernel = Kernel(told["banner"], told["build_id"], START, told["addresses"])
        percpu, objfile = _address(_PERCPU_START), gdb.lookup_objfile(path)
        file = KernelFile(
            path, (objfile and objfile.build_id) or "", _addresses(kernel.addresses),
            percpu if percpu is not None and percpu < _KERNEL_HALF else None,
        )  # fmt: skip
        offset = file.offset(kernel, kernel.addresses)
        return file.line_to_move(offset) if offset else ""


def _addresses(names: Iterable[str]) -> dict[str, int]:
    """Those of symbols that GDB knows."""
    return {name: address for name in names if (address := _address(name)) is not None}


def _address(name: str) -> int | None:
    """Where GDB takes the symbol ``name`` to be; None if it knows none."""
    with contextlib.suppress(gdb.error):
        found = _ADDRESS.search(gdb.execute(f"info address {name}", to_string=True))
        return int(found[0], 16) if found else None
    return None
