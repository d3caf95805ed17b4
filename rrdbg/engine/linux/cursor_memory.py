"""The guest's RAM at a recording's cursor, wherever that goes."""

from __future__ import annotations

from rrdbg.engine.linux.memory import GuestRam
from rrdbg.engine.replay import Replay
from rrdbg.links.machine import Machine


class CursorMemory:
    """Reads it in ``replay``; each movement may bring another QEMU, whose memory is then the one that is read."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._machine: Machine | None = None
        self._ram: GuestRam | None = None

    async def physical(self, address: int, length: int) -> bytes:
        """The bytes at a physical address at the cursor, as far as there is RAM.

        :raises LinkError: QEMU's memory cannot be read here.
        """
        machine = await self._replay.machine()
        if self._ram is None or machine is not self._machine:
            self.close()
            self._ram, self._machine = await GuestRam.of_machine(machine), machine
        return self._ram.physical(address, length)

    def close(self) -> None:
        """Let the memory go that was read last."""
        if self._ram:
            self._ram.close()
        self._ram = self._machine = None
