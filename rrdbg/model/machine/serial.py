"""The guest's serial ports: what it prints goes to a file, what is typed to it comes through the recorder.

Whoever reads late makes QEMU's serial port try again, at a moment that no log holds. So QEMU itself is given files and
pipes alone, and :mod:`rrdbg.engine.making.recorder` stands between them and the terminal or socket that the user asked
for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rrdbg.errors import UsageError
from rrdbg.model.machine.options import Option, parse_properties

_OUTPUT_ONLY = ("file", "null", "ringbuf", "vc")
_PORT_DEVICES = ("virtconsole", "virtserialport", "isa-serial", "pci-serial", "usb-serial")
"""Beginnings of the names of devices that QEMU types to without recording it (chardev/char.c marks -serial's alone)."""


class LineKind(StrEnum):
    """What is at the user's end of the guest's first serial port."""

    NONE = "none"
    STDIO = "stdio"
    PTY = "pty"
    FILE = "file"
    UNIX = "unix"
    TCP = "tcp"


@dataclass(frozen=True, slots=True)
class Line:
    """The user's end of the first serial port; ``server`` listens, and ``wait`` lets the guest wait for a client."""

    kind: LineKind = LineKind.NONE
    path: str = ""
    host: str = ""
    port: int = 0
    server: bool = False
    wait: bool = False

    @property
    def types(self) -> bool:
        """Whether anything can be typed to the guest."""
        return self.kind not in (LineKind.NONE, LineKind.FILE)

    def listened(self) -> Line:
        """The same with nobody who could type: the terminal shows what is printed, as it does without one."""
        return Line() if self.kind is LineKind.STDIO else self


class SerialPorts:
    """The serial ports of one command line, as they are met."""

    def __init__(self) -> None:
        self._ports: list[str] = []
        self._chardevs: dict[str, dict[str, str]] = {}
        self._values: dict[str, str] = {}
        self._users: dict[str, str] = {}

    @property
    def chardevs(self) -> dict[str, str]:
        """The values of the ``-chardev`` that QEMU is given, by id; a replay gives each id a null device."""
        taken = self._first().removeprefix("chardev:")
        return {name: value for name, value in self._values.items() if name != taken}

    def take(self, value: str) -> None:
        """Take the value of a ``-serial``."""
        self._ports.append(value)

    def take_chardev(self, value: str) -> None:
        """Take the value of a ``-chardev``."""
        properties = parse_properties(value, "backend")
        self._chardevs[properties.get("id", "")] = properties
        self._values[properties.get("id", "")] = value

    def take_device(self, value: str) -> None:
        """Remember which device uses which character device."""
        properties = parse_properties(value, "driver")
        if "chardev" in properties:
            self._users[properties["chardev"]] = properties.get("driver", "")

    @property
    def captured(self) -> bool:
        """Whether there is a first serial port."""
        return self._ports[:1] != ["none"]

    def line(self) -> Line:
        """What the user wants at his end of the first serial port.

        :raises UsageError: rrdbg cannot stand between that and the guest.
        """
        value = self._first()
        name = value.removeprefix("chardev:")
        if name != value:
            if name not in self._chardevs:
                raise UsageError(f"This cannot be recorded: -serial {value} names no -chardev with id={name}.")
            return _line_of_chardev(self._chardevs[name])
        return _line(value)

    def _first(self) -> str:
        return (self._ports or ["vc"])[0]

    def others(self) -> list[Option]:
        """The ports that are left to QEMU.

        :raises UsageError: it would record one that does not replay.
        """
        for name, device in self._users.items():
            backend = self._chardevs.get(name, {}).get("backend", "null")
            if device.startswith(_PORT_DEVICES) and backend not in _OUTPUT_ONLY:
                raise UsageError(
                    f"This cannot be recorded: what is typed to -device {device}, which QEMU records for -serial "
                    f"alone; give '-serial chardev:{name}', or a -chardev file or null."
                )
        ports = self._ports if not self.captured else self._ports[1:]
        for value in ports:
            backend = value.partition(":")[0].partition(",")[0]
            if backend not in ("none", *_OUTPUT_ONLY, "chardev") or backend == "file":
                raise UsageError(
                    f"This cannot be recorded: -serial {value} for another port than the first; give it null, or "
                    "'-chardev file,id=ID,path=PATH' with '-serial chardev:ID'."
                )
        return [Option("serial", value) for value in ports]


def _line(value: str) -> Line:
    value = value.removeprefix("mon:")
    backend, _, rest = value.partition(":")
    if backend in ("null", "none", "vc") or value.startswith("vc,"):
        return Line()
    if value in ("stdio", "pty"):
        return Line(LineKind(value))
    if backend == "file":
        return Line(LineKind.FILE, path=rest)
    if backend in ("unix", "tcp"):
        properties = parse_properties(rest, "path" if backend == "unix" else "address")
        if backend == "tcp":
            properties["host"], _, properties["port"] = properties.get("address", "").rpartition(":")
        return _socket(properties)
    raise _unknown(value)


def _line_of_chardev(properties: dict[str, str]) -> Line:
    backend = properties.get("backend", "")
    if backend in ("null", "vc", "ringbuf"):
        return Line()
    if backend in ("stdio", "pty"):
        return Line(LineKind(backend))
    if backend == "file":
        return Line(LineKind.FILE, path=properties.get("path", ""))
    if backend == "socket" and properties.get("telnet", "off") == "off":
        return _socket(properties)
    raise _unknown(backend)


def _socket(properties: dict[str, str]) -> Line:
    server = properties.get("server", "off") == "on"
    wait = server and "nowait" not in properties and properties.get("wait", "on") == "on"
    if "path" in properties:
        return Line(LineKind.UNIX, path=properties["path"], server=server, wait=wait)
    if not properties.get("port", "").isdecimal():
        raise UsageError(f"This cannot be recorded: a serial port over TCP needs a port number, in {properties}.")
    return Line(LineKind.TCP, "", properties.get("host") or "localhost", int(properties["port"]), server, wait)


def _unknown(value: str) -> UsageError:
    return UsageError(
        f"This cannot be recorded: a serial port at {value!r}; rrdbg knows stdio, pty, unix:PATH, tcp:HOST:PORT, "
        "file:PATH and null."
    )
