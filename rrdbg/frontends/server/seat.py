"""A seat at a replay: the loop that reads one client's packets, and the stub that answers them.

A client that leaves may come back, or another one in its place: the seat remembers where it was. Where several seats
share a replay, they share its cursor, and what one of them does the others wait for (:class:`Floor`).
"""

from __future__ import annotations

import asyncio
import contextlib

from rrdbg.frontends.server.floor import Floor
from rrdbg.frontends.server.packets import PACKET_SIZE, Packet, PacketParser, Signal
from rrdbg.frontends.server.stub import Stub
from rrdbg.links.gdb_watch import Served
from rrdbg.links.rsp import frame

_LAST_WORDS = (b"D", b"k", b"vKill")
_PATIENCE_SECONDS = 1.5
"""How long a question waits for somebody else's movement to end: GDB waits 2 s, and then takes answers for others."""


class Seat:
    """For one client at a time, on the ``floor`` of a replay.

    ``number`` is by what a control channel says that it is about this one. ``looks_again`` tells that the client looks
    at the guest anew after each ``monitor`` command, and needs no reminder.
    """

    def __init__(self, floor: Floor, number: int, *, looks_again: bool = False) -> None:
        self.floor = floor
        self.number = number
        """By what a control channel names it."""
        self.stub = Stub(floor, self._say, looks_again=looks_again, number=number)
        """What answers the packets."""
        self._writer: asyncio.StreamWriter | None = None
        self._last = b""
        self._turn = asyncio.Lock()
        self._muted = False
        self._leaving = False
        self._acknowledging = True
        self._task: asyncio.Task[None] | None = None
        self._waits = False
        self._cancelled = False
        self._asked = 0

    @property
    def served(self) -> Served:
        """What is done for the client."""
        return Served(self._task is not None and not self._task.done(), (self._asked, self.stub.beat))

    @property
    def free(self) -> bool:
        """Whether the next client may sit here, at once or when the one before has left."""
        return self._writer is None or self._leaving

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: bytes) -> None:
        """Serve the client at ``reader`` and ``writer``, who has said ``words``, until it leaves."""
        async with self._turn:
            self._writer = writer
            self._leaving = False
            self._acknowledging = True
            try:
                await self._talk(reader, words)
            except ConnectionError:
                pass  # the client has gone; it may come again
            finally:
                self._leaving = True
                await self.finish()
                async with self.floor.idle:
                    await self.stub.reset()
                self._writer = None

    async def _talk(self, reader: asyncio.StreamReader, data: bytes) -> None:
        parser = PacketParser()
        while data:
            for event in parser.feed(data):
                if isinstance(event, Packet):
                    self._acknowledge(b"+")
                    await self.give_up()
                    await self.finish(cancel=False)
                    self._cancelled, self._waits = False, True
                    self._asked += 1
                    self._task = asyncio.create_task(self._answer(event.payload))
                    if event.payload.startswith(_LAST_WORDS):
                        await self.finish(cancel=False)
                        return
                elif event is Signal.INTERRUPT:
                    self.interrupt()
                elif event is Signal.SEND_AGAIN:
                    self._send_again()
                elif event is Signal.DAMAGED:
                    self._acknowledge(b"-")
                elif event is Signal.ENDLESS:
                    self._send(b"E.A packet is too long.")
                    return
                elif event is Signal.MALFORMED:
                    self._acknowledge(b"+")
                    self._send(b"E01")
            if self._writer:
                await self._writer.drain()  # whoever reads nothing is told nothing more
            data = await reader.read(PACKET_SIZE)

    def _send_again(self) -> None:
        """Repeat the last packet, unless the client only waits: GDB asks so when an answer takes more than 2 s."""
        if self._last and self._acknowledging and (self._task is None or self._task.done()):
            self._write(self._last)

    async def _answer(self, payload: bytes) -> None:
        if self.stub.needs_floor(payload):
            seconds = None if self.stub.may_last(payload) else _PATIENCE_SECONDS
            try:
                async with asyncio.timeout(seconds):
                    await self.floor.idle.acquire()
            except TimeoutError:
                self._send(self.stub.busy(payload))
                return
            finally:
                self._waits = False
            try:
                if self._cancelled:
                    self.stub.interrupt()  # while it waited for another client's movement
                answer = await self.stub.answer(payload)
            finally:
                self.floor.idle.release()
        else:
            self._waits = False
            answer = await self.stub.answer(payload)
        if answer is not None:
            self._send(answer)
        if payload == b"QStartNoAckMode":
            self._acknowledging = False
        self.floor.changed(self.number)

    async def give_up(self) -> None:
        """End a monitor command that is carried out though the client goes on: its user has entered Ctrl-C.

        GDB does not say so, and would take a late answer to be that to its next packet.
        """
        if self.stub.commanding:
            self._muted = True
            try:
                await self.finish()
            finally:
                self._muted = False

    def interrupt(self) -> None:
        """Ctrl-C: end a movement, once, or one that is to begin in a moment; that of another seat, if that is awaited.

        One that waits in vain would be deaf else, and with one cursor for all it is everybody's guest that runs.
        """
        if self._cancelled:
            return
        if self._waits and self._task:
            self._cancelled = True
            self.floor.interrupt()
        elif self._task and not self._task.done() and self.stub.moving:
            self._cancelled = True
            self._task.cancel()
        else:
            self.stub.interrupt()

    def halt(self) -> None:
        """End a movement of this seat's, if one is under way."""
        if not self._waits and self._task and not self._task.done():
            self.interrupt()

    async def finish(self, *, cancel: bool = True) -> None:
        """Wait until the packet before is answered, or with ``cancel`` what it began was ended."""
        if self._task is None:
            return
        if cancel and self._waits:
            # It has not begun, and somebody else's movement is no business of who leaves.
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task, self._waits = None, False
            return
        if cancel:
            self.interrupt()
        task, self._task = self._task, None
        await task

    def _say(self, text: str) -> None:
        digits = text.encode().hex()
        for start in range(0, len(digits), PACKET_SIZE - 64):
            self._send(b"O" + digits[start : start + PACKET_SIZE - 64].encode())

    def _send(self, payload: bytes) -> None:
        if self._muted:
            return
        self._last = frame(payload)
        self._write(self._last)

    def _acknowledge(self, sign: bytes) -> None:
        if self._acknowledging:
            self._write(sign)

    def _write(self, data: bytes) -> None:
        if self._writer:
            with contextlib.suppress(ConnectionError):
                self._writer.write(data)
