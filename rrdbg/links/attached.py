"""A QEMU that somebody else started: found by its sockets, borrowed, and left running.

One QEMU is one machine at a time. So machines are *leases*: each one that is handed out, where QEMU stands or after a
``loadvm`` inside it, ends the one before, which is then no longer usable.

Every lease has a connection to the gdbstub of its own (1.5 ms on 7.2). So no answer that is still due on an older one,
and no stop that QEMU 7.2 reports since QMP made it, is taken for one of the new machine's. The first packet on it,
``?``, makes QEMU forget all breakpoints and watchpoints. A detach (``D``) would do so, too, but sets the guest going.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import tempfile
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rrdbg.errors import LinkError, QemuDied, QemuLaunchError, Stalled
from rrdbg.links.address import CONNECT_SECONDS, Address
from rrdbg.links.machine import Machine
from rrdbg.links.qmp import QmpLink, quoted
from rrdbg.links.rsp import RspClient

LOAD_SECONDS = 30.0
"""How long a ``loadvm`` may take; one of a 256 MiB guest takes 0.25 s at most."""

QMP_OPTION = "-qmp unix:PATH,server=on,wait=off"
GDB_OPTION = "-gdb unix:PATH,server=on,wait=off"
T = TypeVar("T")

_CREDENTIALS = struct.Struct("3i")


class AttachedQemu:
    """A running QEMU; make it with :meth:`connect`, let it go with :meth:`release`.

    ``pid`` is its process id, 0 where the QMP socket does not tell; ``caution`` is what :attr:`Lease.remedy` adds;
    ``saved`` are the snapshots that were saved in its images for this session only.
    """

    def __init__(self, qmp: QmpLink, gdb: Address, pid: int) -> None:
        self.qmp = qmp
        self.pid = pid
        self.caution = ""
        self.saved: list[str] = []
        self.deletes_safely = False
        """Whether QEMU may be told to delete a snapshot: 11.1 aborts when it does while it replays."""
        self._gdb = gdb
        self._machine: Machine | None = None
        self._stopped = False
        self._debugged = False
        self._hangs = False

    @classmethod
    async def connect(cls, qmp: Address, gdb: Address) -> AttachedQemu:
        """Take up QMP; the gdbstub is only connected to for a machine.

        :raises LinkError: there is no QEMU at ``qmp``, or it has another client.
        """
        end = await qmp.connect(QMP_OPTION)
        pid = _peer(end)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return cls(await QmpLink.connect(end), gdb, pid)
        except TimeoutError:
            raise LinkError(
                f"{qmp} takes a connection and says nothing. A QMP socket serves one client: end the other one, or "
                f"give QEMU one more socket ({QMP_OPTION})."
            ) from None
        except QemuDied as error:
            raise LinkError(f"{qmp} is no QMP socket: {error}") from None

    @property
    def alive(self) -> bool:
        """False once it has ended, or hangs."""
        return self.qmp.connected and not self._hangs

    @property
    def name(self) -> str:
        """What to call it in a sentence."""
        return f"QEMU (pid {self.pid})" if self.pid else "The attached QEMU"

    async def take(self) -> Machine:
        """The machine where QEMU stands; it is stopped if it was running.

        :raises QemuDied: it has ended.
        :raises LinkError: its gdbstub is not there, or has another client.
        """
        await self._free()
        return await self._lease()

    async def load(self, tag: str) -> Machine:
        """The machine in the state that the snapshot ``tag`` holds, loaded inside QEMU.

        :raises QemuLaunchError: QEMU refused to load it; the message is QEMU's.
        :raises Stalled: QEMU hangs, for good.
        :raises QemuDied: it has ended.
        """
        await self._free()
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                answer = await self.qmp.monitor(f"loadvm {quoted(tag)}")
        except TimeoutError:
            self._hangs = True
            raise Stalled(
                f"{self.name} hangs: it has not loaded a snapshot within {LOAD_SECONDS:.0f} s. End it{self.caution}."
            ) from None
        if answer.strip():
            raise QemuLaunchError(f"QEMU could not load the snapshot {tag!r}: {answer.strip()}")
        return await self._lease()

    async def release(self) -> int | None:
        """Leave the guest stopped, without breakpoints, delete what was ``saved``, and close QMP; where it stands.

        None if nothing was ever done to it, or it is no more.
        """
        try:
            if not self.alive or not self._stopped:
                return None
            await self._free()
            if self._debugged:
                await (await self._connected()).close()
            while self.saved and self.deletes_safely:
                await self.qmp.monitor(f"delvm {quoted(self.saved.pop())}")
            return await self.qmp.icount()
        except QemuDied:
            return None
        finally:
            await self.qmp.close()

    async def _free(self) -> None:
        """End the last lease, with what it has armed; the guest stands still then."""
        if self._machine:
            machine, self._machine = self._machine, None
            await machine.close()
        self._check_alive()
        self._stopped = True
        try:
            await self.qmp.stop()
            await self.qmp.delete_break()
        except Stalled:
            self._hangs = True
            raise

    def _check_alive(self) -> None:
        if not self.alive:
            raise QemuDied(f"{self.name} {'hangs' if self._hangs else 'has ended'}; start it again, and attach again.")

    async def _lease(self) -> Machine:
        rsp = await self._connected()
        directory = Path(tempfile.mkdtemp(prefix="rrdbg-"))
        self._machine = await Machine.over(Lease(self), rsp, directory)
        return self._machine

    async def _connected(self) -> RspClient:
        """A new connection to the gdbstub, which has forgotten all breakpoints."""
        rsp = RspClient(*await asyncio.open_connection(sock=await self._gdb.connect(GDB_OPTION)))
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await rsp.exchange("?")
        except TimeoutError:
            await rsp.close()
            raise LinkError(
                f"QEMU's gdbstub at {self._gdb} takes a connection and says nothing. It serves one client: end the GDB "
                "that is connected to it."
            ) from None
        except BaseException:
            await rsp.close()
            raise
        self._debugged = True
        return rsp


class Lease:
    """An attached QEMU as the process of one machine."""

    def __init__(self, qemu: AttachedQemu) -> None:
        self._qemu = qemu
        self._held = True

    @property
    def qmp(self) -> QmpLink:
        """QEMU's QMP link, which all leases share."""
        return self._qemu.qmp

    @property
    def pid(self) -> int:
        """QEMU's process id; 0 if it is not known."""
        return self._qemu.pid

    @property
    def alive(self) -> bool:
        """False once the lease is over, or QEMU has ended."""
        return self._held and self._qemu.alive

    @property
    def remedy(self) -> str:
        """What the user can do when the replay no longer follows its log."""
        return f"travel again to load a snapshot, and if that fails, end QEMU{self._qemu.caution}"

    @contextmanager
    def long_run(self) -> Iterator[None]:
        """Where the threads of somebody else's QEMU run is his matter."""
        yield

    async def guard(self, work: Awaitable[T]) -> T:
        """Await ``work``; that QEMU has ended its connections tell."""
        return await work

    @contextmanager
    def main_loop_first(self) -> Iterator[None]:
        """As for :meth:`long_run`."""
        yield

    async def kill(self) -> None:
        """End the lease; QEMU lives on."""
        self._held = False

    async def death(self) -> QemuDied:
        """The error for a connection that has broken."""
        return QemuDied(
            f"{self._qemu.name} has ended, or closed its gdbstub's connection; start it again, and attach again."
        )


def _peer(end: socket.socket) -> int:
    """The process that listened on the other side of a unix socket; 0 for TCP."""
    if end.family != socket.AF_UNIX:
        return 0
    return int(_CREDENTIALS.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0])
