"""The client's side of the control channel (rrdbg/frontends/server/control.py has the other one)."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rrdbg.errors import LinkError, UsageError

_GREETING = b"rrdbg control 1"
_VERSION = 1
_SILENCE_SECONDS = 30.0
"""The server gives a sign of life twice a second."""
_CONNECT_SECONDS = 5.0
_TURN_SECONDS = 0.2

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the cursor is, as the server tells it; ``end`` is the last icount, ``bookmarks`` are names."""

    text: str
    icount: int
    phase: int
    percent: float
    end: int
    what_if: bool
    bookmarks: tuple[str, ...] = ()

    def same_state(self, other: Place) -> bool:
        """True if the guest is the same one at ``other``."""
        return (self.icount, self.phase, self.what_if) == (other.icount, other.phase, other.what_if)


@dataclass(slots=True)
class Watcher:
    """What is done with what comes before the answer: results, and how far it is (0 to 1, None: not known)."""

    result: Callable[[Json], None] = field(default=lambda result: None)
    progress: Callable[[float | None], None] = field(default=lambda share: None)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request ended: an error's sentence or nothing, whether the guest is another one now, where it is."""

    error: str
    changed: bool
    place: Place


class Channel:
    """An open control channel to the server at ``address`` (as GDB's ``target remote`` takes it).

    ``number`` is the one that the server knows GDB's own connection by, beside those of others.

    :raises RrdbgError: it is no such address, nobody listens there, or it is no rrdbg of this version.
    """

    def __init__(self, address: str, number: int = 1) -> None:
        self._socket = _connect(address)
        self._number = number
        self._unread = b""
        self.asking = False
        """True while an answer is waited for."""
        try:
            self._socket.sendall(_GREETING + (b" %d\n" % number if number > 1 else b"\n"))
            introduction = self._receive()
            if "error" in introduction:
                raise LinkError(f"rrdbg at {address}: {introduction['error']}")
            if introduction.get("rrdbg") != _VERSION:
                raise LinkError(f"What listens at {address} is an rrdbg of another version than this script.")
        except BaseException:
            self.close()
            raise
        self.recording = str(introduction["recording"])
        """The recording's name."""
        self.architecture = str(introduction.get("architecture", ""))
        """What GDB must be told of an x86 CPU before it connects; empty for others."""
        self.declarations: Json = introduction["declarations"]
        """The commands that the server knows."""
        self.place = _place(introduction)
        """Where the cursor was when it was last heard of."""
        self.shared = bool(introduction.get("shared"))
        """Whether others may move the cursor, too."""

    @property
    def open(self) -> bool:
        """False once it was closed, or the server has gone."""
        return self._socket.fileno() >= 0

    def fileno(self) -> int:
        """The file descriptor to wait at for what comes unasked; negative once it was closed."""
        return self._socket.fileno()

    def noticed(self) -> bool:
        """Read what has come unasked; whether another client has brought the cursor elsewhere by that.

        :raises LinkError: the server has gone.
        """
        moved = False
        while b"\n" in self._unread or select.select((self._socket,), (), (), 0)[0]:
            moved |= self._note(self._receive())
        return moved

    def _note(self, heard: Json) -> bool:
        """Take up an event; whether another client has brought the cursor elsewhere."""
        if "event" not in heard:
            return False
        before, self.place = self.place, _place(heard)
        return heard["by"] != self._number and not self.place.same_state(before)

    def close(self) -> None:
        """Close it; what the server does for us then ends."""
        self._socket.close()

    def request(self, content: Json, watcher: Watcher | None = None) -> Answer:
        """Send a request and return the answer; Ctrl-C interrupts what is done, and the answer says so.

        :raises LinkError: the server has gone, or hangs.
        """
        watcher = watcher or Watcher()
        self.asking = True
        try:
            self._send(content)
            while True:
                heard = self._patiently()
                if "result" in heard:
                    watcher.result(heard["result"])
                elif "progress" in heard:
                    watcher.progress(heard["progress"]["share"] if heard["progress"] else None)
                elif "event" in heard:
                    self._note(heard)
                else:
                    break
        except BaseException:
            # The rest of the answer would be taken for that to the next request.
            self.close()
            raise
        finally:
            self.asking = False
        if "position" not in heard:
            raise LinkError(f"rrdbg's server did not understand: {heard['error']}")
        self.place = _place(heard)
        return Answer(heard["error"], heard["changed"], self.place)

    def _patiently(self) -> Json:
        """What comes next; a Ctrl-C meanwhile is passed on once."""
        asked = False
        while True:
            try:
                return self._receive()
            except KeyboardInterrupt:
                if asked:
                    raise LinkError("rrdbg's server did not stop at once; the connection to it was given up.") from None
                asked = True
                self._send({"cancel": True})

    def _send(self, content: Json) -> None:
        try:
            self._socket.sendall(json.dumps(content).encode() + b"\n")
        except OSError as error:
            raise LinkError(f"rrdbg's server has gone: {error}.") from None

    def _receive(self) -> Json:
        deadline = time.monotonic() + _SILENCE_SECONDS
        while b"\n" not in self._unread:
            # In turns: Python sees a Ctrl-C only when the wait is over, since GDB's handler restarts system calls.
            if not select.select((self._socket,), (), (), _TURN_SECONDS)[0]:
                if time.monotonic() > deadline:
                    raise LinkError(f"rrdbg's server has been silent for {_SILENCE_SECONDS:.0f} s.")
                continue
            try:
                data = self._socket.recv(1 << 16)
            except OSError as error:
                raise LinkError(f"rrdbg's server has gone: {error}.") from None
            if not data:
                raise LinkError("rrdbg's server has closed the connection.")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            heard = json.loads(line)
        except ValueError:
            raise LinkError("What answers is no rrdbg.") from None
        if not isinstance(heard, dict):
            raise LinkError("What answers is no rrdbg.")
        return heard


def _place(heard: Json) -> Place:
    return Place(**heard["position"], bookmarks=tuple(heard["bookmarks"]))


def _connect(address: str) -> socket.socket:
    where = address.removeprefix("unix:")
    try:
        if address.startswith("unix:") or Path(where).is_socket():
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(_CONNECT_SECONDS)
            connection.connect(where)
        else:
            host, port = _host_and_port(address)
            connection = socket.create_connection((host, port), _CONNECT_SECONDS)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise LinkError(f"No rrdbg can be reached at {address}: {error}.") from None
    connection.settimeout(None)
    return connection


def _host_and_port(address: str) -> tuple[str, int]:
    for prefix in ("tcp:", "tcp4:", "tcp6:"):
        address = address.removeprefix(prefix)
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise UsageError(f"rrdbg cannot be reached at '{address}' beside GDB; connect by HOST:PORT or unix:PATH.")
    return host.strip("[]") or "localhost", int(port)
