"""What is asked at a stop of the guest, remembered for the next one.

At most stops the same is asked as at the one before: position, registers, the memory that a condition reads. So with
the first question at a stop go those of the last one where any was asked, and are answered in one exchange.
"""

from __future__ import annotations

from rrdbg.links.rsp import RspClient

_MOST_USUAL = 16
"""Questions at a stop that are remembered for the next one."""


class Questions:
    """Questions to the gdbstub ``rsp`` whose answers stay the same until the guest goes on."""

    def __init__(self, rsp: RspClient) -> None:
        self._rsp = rsp
        self._known: dict[bytes, bytes] = {}
        self._asked: list[bytes] = []
        self._usual: list[bytes] = []

    async def ask(self, packet: bytes) -> bytes:
        """The answer to ``packet``, from memory if it was given at this stop already.

        :raises QemuDied: the connection broke.
        :raises Stalled: no answer came.
        """
        if packet in self._known:
            answer = self._known[packet]
        else:
            ahead = [] if self._asked else [usual for usual in self._usual if usual != packet]
            answer, *others = await self._rsp.exchange_all([packet, *ahead])
            self._known |= zip(ahead, others, strict=True)
        if packet not in self._asked and len(self._asked) < _MOST_USUAL:
            self._asked.append(packet)
            self._known[packet] = answer
        return answer

    def turn_over(self) -> None:
        """The guest goes on: what is known of it no longer holds, but what was asked will be asked again."""
        self._usual, self._asked = self._asked or self._usual, []
        self._known.clear()

    def doubt(self) -> None:
        """Something else may have changed the guest: ask again."""
        self._known.clear()

    def forget(self) -> None:
        """Something else may change the guest, or the meaning of a question: ask no more than is wanted."""
        self._usual, self._asked = [], []
        self._known.clear()
