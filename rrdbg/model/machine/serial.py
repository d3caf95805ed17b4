"""The guest's serial ports: what it prints goes to a file, what is typed to it comes through the recorder.

Whoever reads late makes QEMU's serial port try again, at a moment that no log holds. So QEMU itself is given files and
pipes alone, and :mod:`rrdbg.engine.making.recorder` stands between them and the terminal or socket that the user asked
for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rrdbg.errors import UsageError
from rrdbg.model.machine.options import escape, parse_properties
from rrdbg.model.machine.semihosting import CONSOLE

_OUTPUT_ONLY = ("file", "null", "ringbuf", "vc")
_PORT_DEVICES = ("virtconsole", "virtserialport", "isa-serial", "pci-serial", "usb-serial")
"""Beginnings of the names of devices that QEMU types to without recording it (chardev/char.c marks -serial's alone)."""

_PRINTERS = ("isa-debugcon",)
"""Beginnings of the names of devices that nothing is typed to."""

_CAPTURED = f"chardev:{CONSOLE}"

_ORDINALS = ("first", "second", "third", "fourth")


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
        self._default = "vc"

    @property
    def chardevs(self) -> dict[str, str]:
        """The values of the ``-chardev`` that QEMU is given, by id; a replay gives each id a null device."""
        return {name: value for name, value in self._values.items() if name != self.taken}

    @property
    def taken(self) -> str:
        """The id of the user's ``-chardev`` that the console takes the place of; empty if there is none."""
        kind, _, name = self._value().partition(":")
        return name if kind == "chardev" else ""

    def take(self, value: str) -> None:
        """Take the value of a ``-serial``."""
        self._ports.append(value)

    def take_nographic(self) -> None:
        """Take ``-nographic``: the terminal is at the first port, if no other option says what is there."""
        self._default = "stdio"

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
    def shared(self) -> bool:
        """Whether a device that only prints, such as ``isa-debugcon``, prints to the console, too."""
        return bool(self.taken) and self._users.get(self.taken, "").startswith(_PRINTERS)

    def line(self) -> Line:
        """What the user wants at his end of the console.

        :raises UsageError: rrdbg cannot stand between that and the guest.
        """
        value = self._value()
        name = self.taken
        if not name:
            return _line(value)
        if name not in self._chardevs:
            raise UsageError(f"This cannot be recorded: -serial {value} names no -chardev with id={name}.")
        line = _line_of_chardev(self._chardevs[name])
        return line.listened() if self.shared else line

    def ports(self) -> tuple[list[str], str]:
        """The values of QEMU's ``-serial``, in order, and in words which of them is captured as the console, if one is.

        :raises UsageError: QEMU would record one that does not replay.
        """
        for name, device in self._users.items():
            backend = self._chardevs.get(name, {}).get("backend", "null")
            if device.startswith(_PORT_DEVICES) and backend not in _OUTPUT_ONLY:
                raise UsageError(
                    f"This cannot be recorded: what is typed to -device {device}, which QEMU records for -serial "
                    f"alone; give '-serial chardev:{name}', or a -chardev file or null."
                )
        console = self._console()
        ports = []
        for index, value in enumerate(self._ports or [self._default]):
            backend, _, rest = value.partition(":")
            if index == console:
                ports.append(_CAPTURED)
            elif backend == "file":
                # As a chardev, so that replays can give it another end.
                self._values[f"serial{index}"] = f"file,id=serial{index},path={escape(rest)}"
                ports.append(f"chardev:serial{index}")
            elif backend.partition(",")[0] in ("none", *_OUTPUT_ONLY, "chardev"):
                ports.append(value)
            else:
                raise UsageError(
                    f"This cannot be recorded: -serial {value} beside another port that is the console; give one of "
                    "them null, or '-chardev file,id=ID,path=PATH' with '-serial chardev:ID'."
                )
        if console is None:
            return ports, ""
        return ports, f"the {_ORDINALS[console]} serial port" if console < len(_ORDINALS) else f"serial port {console}"

    def _console(self) -> int | None:
        """Which port is the console: the first at whose other end is somebody, or else the first that there is."""
        ports = self._ports or [self._default]
        there = [index for index, value in enumerate(ports) if value != "none"]
        heard = [index for index in there if self._is_heard(ports[index])]
        return next(iter([*heard, *there]), None)

    def _is_heard(self, value: str) -> bool:
        kind, _, name = value.partition(":")
        if kind == "chardev":
            return self._chardevs.get(name, {}).get("backend") not in ("null", "vc", "ringbuf", "file")
        return kind.partition(",")[0] not in ("null", "vc", "ringbuf", "file")

    def _value(self) -> str:
        console = self._console()
        return "none" if console is None else (self._ports or [self._default])[console]


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
