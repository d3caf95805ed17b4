"""The server that GDB's selected inferior is connected to: what is asked of it, and who learns of a jump."""

from __future__ import annotations

from collections.abc import Callable

import gdb

from rrdbg.errors import RrdbgError, UsageError
from rrdbg.frontends.gdb.channel import Answer, Channel, Json, Place, Watcher

_NOT_CONNECTED = (
    "GDB is not connected to rrdbg. Enter: rrdbg open RECORDING; or 'target remote ADDRESS' for an rrdbg that serves."
)


_PATIENCE_SECONDS = 60
"""How long GDB is to wait for an answer: after 3 times 2 s it would take a late one for that to its next question."""


def be_patient() -> None:
    """Have GDB wait as long as starting a QEMU may take on a busy host, unless it waits longer already."""
    patience = gdb.parameter("remotetimeout")
    if isinstance(patience, int) and patience < _PATIENCE_SECONDS:
        gdb.execute(f"set remotetimeout {_PATIENCE_SECONDS}")


class Client:
    """The control channels beside GDB's connections, each opened when it is first needed."""

    def __init__(self) -> None:
        self._channels: dict[int, Channel | None] = {}
        self._listeners: list[Callable[[], None]] = []
        self._announcers: list[Callable[[], None]] = []
        self.on_channel: Callable[[Channel], None] = lambda channel: None
        """Told of each new channel."""
        gdb.events.connection_removed.connect(self._removed)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called whenever the guest has changed behind GDB's back."""
        self._listeners.append(listener)

    def on_jump(self, announcer: Callable[[], None]) -> None:
        """Have ``announcer`` called, after those, where the user sees another place than before."""
        self._announcers.append(announcer)

    @property
    def channel(self) -> Channel:
        """The channel to the server of the selected inferior.

        :raises RrdbgError: there is none.
        """
        channel = self.find()
        if channel is None:
            raise UsageError(_NOT_CONNECTED)
        return channel

    def find(self) -> Channel | None:
        """The same; None if the inferior's target is not an rrdbg.

        :raises RrdbgError: it is one, and cannot be reached beside GDB.
        """
        connection = gdb.selected_inferior().connection
        if not isinstance(connection, gdb.RemoteTargetConnection):
            return None
        if connection.num in self._channels:
            known = self._channels[connection.num]
            if known is None or known.open:
                return known
        number = _number(connection)
        if number is None:
            self._channels[connection.num] = None
            return None
        be_patient()
        channel = self._channels[connection.num] = Channel(connection.details or "", number)
        self.on_channel(channel)
        return channel

    def adopt(self, channel: Channel) -> None:
        """Use ``channel``, which leads to the server that GDB has just been connected to."""
        connection = gdb.selected_inferior().connection
        assert connection is not None, "GDB is connected"
        if old := self._channels.get(connection.num):
            old.close()
        self._channels[connection.num] = channel
        self.on_channel(channel)

    def run(self, line: str, watcher: Watcher | None = None) -> Answer:
        """Run a command of the registry.

        :raises RrdbgError: it failed; the guest may have moved nevertheless, as where a movement was interrupted.
        """
        return self._request({"run": line}, watcher, elsewhere=self.channel.shared)

    def visit(self, position: str) -> Answer:
        """Put the cursor on ``position`` for a moment; nobody is told of a jump.

        :raises RrdbgError: it could not be put there.
        """
        return self._request({"visit": position}, announce=False)

    def place(self, refused: Callable[[str], None] = lambda why: None) -> Place:
        """Where the cursor is; who listens is told if it was elsewhere when we last heard of it.

        ``refused`` is called with why a write to memory was, for which GDB has had words that do not tell.
        GDB must not wait for an answer: a monitor command that is still carried out has been left by Ctrl-C, and ends.

        :raises RrdbgError: there is no server, or the guest is running.
        """
        watcher = Watcher(lambda told: refused(str(told["text"])))
        return self._request({"prompt": True}, watcher, elsewhere=True).place

    def now(self) -> Place:
        """The same, for who only looks.

        :raises RrdbgError: there is no server.
        """
        return self._request({"where": True}).place

    def is_running(self, who: str) -> bool:
        """Whether the task of a Linux guest runs that is called, or has the number, ``who``.

        :raises RrdbgError: there is no server.
        """
        found: list[Json] = []
        self._request({"task": who}, Watcher(found.append))
        return bool(found[0]["runs"])

    def stopped(self) -> Place:
        """Where the cursor is now that GDB itself has moved it; it is a place to come back to.

        :raises RrdbgError: there is no server.
        """
        return self._request({"stopped": True}).place

    def look_again(self) -> None:
        """The guest may have changed by something that did not come through here: tell who listens."""
        self.stopped()
        self._tell()

    def _request(
        self, content: Json, watcher: Watcher | None = None, *, announce: bool = True, elsewhere: bool = False
    ) -> Answer:
        """Ask; who listens is told if that has changed the guest, or if (``elsewhere``) it was another one before."""
        before = self.channel.place
        answer = self.channel.request(content, watcher)
        if answer.changed or (elsewhere and not answer.place.same_state(before)):
            self._tell(announce=announce)
        if answer.error:
            raise RrdbgError(answer.error)
        return answer

    def _tell(self, *, announce: bool = True) -> None:
        for listener in [*self._listeners, *(self._announcers if announce else ())]:
            listener()

    def _removed(self, event: gdb.ConnectionEvent) -> None:
        if channel := self._channels.pop(event.connection.num, None):
            channel.close()


def _number(connection: gdb.RemoteTargetConnection) -> int | None:
    """The number that rrdbg's server knows this connection by; None if it is no rrdbg."""
    try:
        answer = connection.send_packet("qRrdbg.control")
    except gdb.error as error:
        raise RrdbgError(f"GDB's target cannot be asked whether it is an rrdbg: {error}.") from None
    return int(answer) if isinstance(answer, bytes) and answer.isdigit() else None
