"""What-if: a machine that GDB may change and run freely, while the recording waits where it is.

Packets go to the machine's own gdbstub almost as they are. Time runs forward only: the machine follows no log, so
there is nothing to go back on. It ends with ``monitor what-if off``, and GDB then finds the recording untouched.
"""

from __future__ import annotations

import asyncio

from rrdbg.engine.replay import Replay
from rrdbg.errors import Interrupted, TravelError, UsageError
from rrdbg.frontends.server.packets import number
from rrdbg.frontends.server.points import PointSet
from rrdbg.frontends.server.stops import INTERRUPTED, TRAP, ClientFeatures, breakpoint_word
from rrdbg.links.machine import Machine
from rrdbg.model.hits.stop import Watchpoint
from rrdbg.model.program.code_mode import CodeSegment
from rrdbg.model.timeline.position import Position

_PASSED_ON = (b"g", b"G", b"p", b"P", b"m", b"M", b"X")
_RESUMING = (b"c", b"C", b"s", b"S", b"vCont;")
_BACKWARDS = (b"bs", b"bc")


class WhatIf:
    """One such machine, and the packets that it answers."""

    def __init__(self, machine: Machine, origin: Position) -> None:
        self._machine = machine
        self.origin = origin
        """The position in the recording from which it started."""
        self.running = False
        """True while the guest runs, when the task that waits for it may be cancelled."""

    @classmethod
    async def start(cls, replay: Replay, points: PointSet) -> WhatIf:
        """Start one at the cursor, with ``points`` set, and hold the cursor.

        :raises SnapshotNotNow: QEMU cannot save its state at the cursor.
        """
        what_if = cls(await replay.branch(), replay.position)
        try:
            for point in points.points:
                if isinstance(point, Watchpoint) and point.physical:
                    raise UsageError(f"A what-if watches virtual addresses alone; delete the {point} first.")
                await what_if._machine.insert(point)
        except BaseException:
            await what_if._machine.close()
            raise
        replay.hold(f"A what-if has been started at {replay.position}; end it first: what-if off.")
        return what_if

    async def end(self, replay: Replay) -> None:
        """Throw the machine away, and let the cursor go."""
        replay.hold(None)
        await self._machine.close()

    @staticmethod
    def takes(packet: bytes) -> bool:
        """True for packets that are about the guest, and so are for this machine."""
        names = (*_PASSED_ON, *_RESUMING, *_BACKWARDS, b"x", b"Z", b"z", b"Qqemu.PhyMemMode:")
        return packet.startswith(names)

    @staticmethod
    def moves(packet: bytes) -> bool:
        """True for packets that set the guest going, or would set it going backwards."""
        return packet.startswith((*_RESUMING, *_BACKWARDS))

    async def answer(self, packet: bytes) -> bytes:
        """The reply to a packet that this machine takes and that does not move the guest."""
        if len(packet) > 2 * _QEMU_BYTES:
            raise UsageError("A packet for QEMU is longer than it takes.")  # it would never answer
        if packet.startswith(b"x"):
            digits = await self._machine.exchange(_shortened(b"m" + packet[1:]))
            return digits if len(digits) == 3 and digits[:1] == b"E" else b"b" + bytes.fromhex(digits.decode())
        return await self._machine.exchange(_shortened(packet))

    async def code_segment(self) -> CodeSegment | None:
        """How its CPU reads its code."""
        return await self._machine.code_segment()

    async def _check_end(self) -> None:
        if await self._machine.qmp.run_state() == "shutdown":
            raise TravelError("The guest has ended in this what-if; 'monitor what-if off' goes back to the recording.")

    async def run(self, packet: bytes, points: PointSet, features: ClientFeatures) -> bytes:
        """Do what a packet says that moves the guest; the stop reply.

        :raises TravelError: it asks to go back, or the guest has ended.
        :raises Interrupted: the task was cancelled; the guest stands.
        """
        if packet in _BACKWARDS:
            raise TravelError("In a what-if time runs forward only; 'monitor what-if off' goes back to the recording.")
        self.running = True
        try:
            await self._check_end()  # after it QEMU would not answer
            stop = await self._machine.let_go(packet.removeprefix(b"vCont;")[:1].decode().lower())
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            raise Interrupted("The what-if was interrupted.") from None
        finally:
            self.running = False
        await self._check_end()
        if stop.watched:
            return features.stop(TRAP, f"{stop.watched[0]}:{stop.watched[1]:x}")
        if stop.signal == INTERRUPTED:
            return features.stop(INTERRUPTED)
        return features.stop(stop.signal, breakpoint_word(await self._machine.pc(), points, features))


def _shortened(packet: bytes) -> bytes:
    """A read of memory, of no more than QEMU answers in one packet; GDB asks for the rest."""
    if packet[:1] != b"m":
        return packet
    address, _, length = packet[1:].partition(b",")
    return b"m%x,%x" % (number(address), min(number(length), _QEMU_BYTES))


_QEMU_BYTES = 0x7C0
"""QEMU 7.2 takes and gives packets of 4096 bytes."""
