"""Packets that come to a guest late while it is recorded: they make a detour through this process.

A redirector takes what each network backend of the recording QEMU sends to the guest, and puts it back when we return
it. It stands in front of ``filter-replay``, which notes a packet when it comes at last; so a replay needs no detour.
What the guest sends goes its usual way.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Sequence

from rrdbg.links.process import socket_pair

_LENGTH_BYTES = 4
"""QEMU writes a packet's length before it, with the highest byte first (net/net.c, ``net_fill_rstate``)."""


class LatePackets:
    """The detour of all ``backends``; each packet comes up to ``milliseconds`` late, and after those before it.

    QEMU is started in its context, with :attr:`sockets` and :attr:`options`.
    """

    def __init__(self, backends: Sequence[str], milliseconds: int) -> None:
        self._seconds = milliseconds / 1000
        self._dice = random.Random(milliseconds)
        self._ours: list[tuple[socket.socket, socket.socket]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.sockets: list[socket.socket] = []
        """QEMU's ends."""
        self.options: list[str] = []
        """What QEMU is told, behind everything else."""
        for number, backend in enumerate(backends, 1):
            out, out_there = socket_pair()
            back, back_there = socket_pair()
            self._ours.append((out, back))
            self.sockets += [out_there, back_there]
            name = f"rrdbg-late{number}"
            self.options += [
                "-chardev", f"socket,id={name}-out,fd={out_there.fileno()}",
                "-chardev", f"socket,id={name}-back,fd={back_there.fileno()}",
                "-object",
                f"filter-redirector,id={name},netdev={backend},queue=tx,outdev={name}-out,indev={name}-back,position=head",
            ]  # fmt: skip

    async def __aenter__(self) -> LatePackets:
        self._tasks = [asyncio.create_task(self._relay(out, back)) for out, back in self._ours]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in (*self.sockets, *(end for pair in self._ours for end in pair)):
            end.close()

    async def _relay(self, out: socket.socket, back: socket.socket) -> None:
        reader, taker = await asyncio.open_connection(sock=out)
        _, giver = await asyncio.open_connection(sock=back)
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        giving = asyncio.create_task(_give(waiting, giver))
        try:
            while True:
                length = await reader.readexactly(_LENGTH_BYTES)
                packet = await reader.readexactly(int.from_bytes(length))
                due = asyncio.get_running_loop().time() + self._dice.uniform(0, self._seconds)
                waiting.put_nowait((due, length + packet))
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # QEMU has ended
        finally:
            giving.cancel()
            taker.close()
            giver.close()


async def _give(waiting: asyncio.Queue[tuple[float, bytes]], giver: asyncio.StreamWriter) -> None:
    """Return what is ``waiting``, each when it is due and those before it are gone."""
    while True:
        due, packet = await waiting.get()
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        if not giver.is_closing():
            giver.write(packet)
