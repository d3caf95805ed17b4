"""A recording made without rrdbg, by the command line that somebody wrote for QEMU's record and replay.

:func:`take_apart` is pure. What describes the machine stays word for word, since replay demands the same machine;
only what belongs to the host goes: windows, monitors, the other ends of serial ports. Drives are taken out and come
back behind ``blkreplay`` of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from rrdbg.errors import UsageError
from rrdbg.model.machine.findings import Finding, note
from rrdbg.model.machine.handmade_drives import HandMadeDrive, read_drives
from rrdbg.model.machine.invocation import FIRST_FD, NO_FILES, Addition, BundledFile, Invocation, file_reader
from rrdbg.model.machine.options import Option, format_properties, parse_options, parse_properties
from rrdbg.model.machine.safety import safe_flags

_BUNDLED = ("kernel", "initrd", "dtb", "bios")
_DRIVES = frozenset(
    {"drive", "blockdev", "hda", "hdb", "hdc", "hdd", "cdrom", "fda", "fdb", "sd", "mtdblock", "pflash"}
)
_HOST_ONLY = frozenset(
    (
        *("S", "s", "gdb", "qmp", "qmp-pretty", "mon", "monitor", "pidfile", "D", "d", "trace", "no-shutdown"),
        *(
            "display",
            "vnc",
            "spice",
            "sdl",
            "curses",
            "full-screen",
            "portrait",
            "show-cursor",
            "alt-grab",
            "ctrl-grab",
        ),
    )
)
_BACKENDS = frozenset({"parallel", "debugcon"})
_REFUSED = {
    "daemonize": "rrdbg must stay QEMU's parent; leave -daemonize out",
    "loadvm": "a recording that began with -loadvm cannot be imported; begin one with the machine's start",
    "incoming": "a recording that began with -incoming cannot be imported; begin one with the machine's start",
    "snapshot": "QEMU cannot record with -snapshot; leave it out",
}
_CLOCK = {"base": "utc", "clock": "host"}
"""What QEMU takes where ``-rtc`` does not say it."""

CONSOLE = "chardev:rrdbg-console"
"""The first serial port, as every QEMU of a recording has it."""

DEFAULT_TAG = "replay_init"
"""The initial snapshot's name, where the command line gives none."""


@dataclass(frozen=True, slots=True)
class HandMade:
    """What a command line tells: the machine, its drives, the log's and the initial snapshot's name if it has them."""

    invocation: Invocation
    drives: tuple[HandMadeDrive, ...]
    log: str | None
    tag: str | None
    notes: tuple[Finding, ...]


def take_apart(command: Sequence[str], directory: PurePath) -> HandMade:
    """Read a command line that records or replays; its files are relative to ``directory``.

    :raises UsageError: it is none, or says something that cannot be replayed from a snapshot.
    """
    if not command:
        raise UsageError("QEMU's command is missing; write: rrdbg import --log FILE -- qemu-system-x86_64 ARGUMENTS")
    return _Reader(command[0], parse_options(command[1:]), directory).result()


class _Reader:
    """The pass over the options; lives for one call of :func:`take_apart`."""

    def __init__(self, binary: str, options: tuple[Option, ...], directory: PurePath) -> None:
        self._binary = binary
        self._options = options
        self._directory = directory
        self._kept: list[Option] = []
        self._bundled: list[BundledFile] = []
        self._serials: list[str] = []
        self._icount: dict[str, str] = {}
        self._clock = _CLOCK
        for option in options:
            self._take(option)

    def result(self) -> HandMade:
        """What was read."""
        if "rr" not in self._icount or "shift" not in self._icount:
            raise UsageError(
                "This is no command line for record or replay: it has no -icount shift=N,rr=replay,rrfile=LOG. "
                "The rate must be the one that was recorded with."
            )
        drives, firmware = read_drives(self._options, self._directory)
        self._add_serials()
        rest = {key: text for key, text in self._icount.items() if key not in ("shift", "rr", "rrfile", "rrsnapshot")}
        if rest:
            self._kept.append(Option("icount", format_properties(rest)))
        invocation = Invocation(
            binary=self._binary,
            options=(*self._kept, *firmware),
            host_options=(),
            chardevs=tuple(
                parse_properties(option.value or "", "backend").get("id", "")
                for option in self._options
                if option.name == "chardev"
            ),
            bundled=tuple(self._bundled),
            disks=tuple(drive.disk for drive in drives),
            additions=(
                Addition(("-rtc", format_properties(self._clock)), "the guest's clock, as it was recorded"),
                Addition(("-no-shutdown",), "the end stays there to be looked at"),
                Addition(("-monitor", "none"), "rrdbg talks to QEMU over connections of its own"),
            ),
            shift=self._icount["shift"],
        )
        log = self._icount.get("rrfile")
        return HandMade(invocation, drives, log, self._icount.get("rrsnapshot"), tuple(self._notes(invocation)))

    def _take(self, option: Option) -> None:
        name, value = option.name, option.value or ""
        if name in _REFUSED:
            raise UsageError(f"This cannot be imported: {_REFUSED[name]}.")
        if name == "icount":
            self._icount |= parse_properties(value, "shift")
        elif name == "rtc":
            self._clock = self._clock | parse_properties(value, "base")
        elif name == "serial":
            self._serials.append(value)
        elif name == "nographic":
            # The rest of what it means, windows and monitors, is the host's; this the guest can see.
            self._kept.append(Option("machine", "graphics=off"))
        elif name in _BUNDLED and value not in NO_FILES:
            self._take_file(option, value)
        elif name in _BACKENDS:
            self._kept.append(Option(name, _unconnected(value)))
        elif reader := file_reader(option, FIRST_FD + len(self._bundled)):
            self._kept.append(reader[0])
            self._bundled.append(replace(reader[1], source=str(self._directory / reader[1].source)))
        elif name not in _HOST_ONLY | _DRIVES and name != "chardev":
            self._kept.append(option)

    def _take_file(self, option: Option, value: str) -> None:
        """Note a file to be copied, to go by a name as long as the one it had.

        A multiboot kernel is told that name, and most read it to its end: a loop of so many instructions.
        """
        file = BundledFile(option.name, str(self._directory / value), FIRST_FD + len(self._bundled))
        slashes = max(len(value) - len(str(file.opened_as)), 0)
        self._bundled.append(replace(file, slashes=slashes))

    def _add_serials(self) -> None:
        names = [option.name for option in self._options]
        own = any(parse_properties(option.value or "", "driver").get("driver") == "isa-serial" for option in self._kept)
        default = [] if own or "nodefaults" in names else [CONSOLE]
        first, *others = self._serials or default or ["none"]
        if self._serials or default:
            self._kept.append(Option("serial", first if first == "none" else CONSOLE))
        self._kept += [Option("serial", _unconnected(other)) for other in others]

    def _notes(self, invocation: Invocation) -> Sequence[Finding]:
        found = []
        lacking = missing_flags(invocation)
        if lacking:
            found.append(
                note(
                    "machine",
                    f"It was recorded without {' '.join(lacking)}, so a replay that jumps may derail.",
                    "Where it does, record again with them, or with 'rrdbg record'.",
                )
            )
        names = {option.name for option in self._options}
        recorded = "filter-replay" in " ".join(
            option.value or "" for option in self._options if option.name == "object"
        )
        live = any(
            option.name in ("netdev", "nic", "net") and not (option.value or "").startswith("none")
            for option in self._options
        )
        if not recorded and (live or not names & {"netdev", "nic", "net", "nodefaults"}):
            found.append(
                note(
                    "network",
                    "The guest had a network card without filter-replay: packets that came to it are not in the log.",
                    "If it got any, record again with -nic none, or with -object filter-replay.",
                )
            )
        return found


def missing_flags(invocation: Invocation) -> tuple[str, ...]:
    """What makes replays of this machine safe and the command line lacks, as words of a command line."""
    given = " ".join(invocation.machine_words())
    machine: dict[str, str] = {}
    for option in invocation.options:
        if option.name in ("machine", "M"):
            machine |= parse_properties(option.value or "", "type")
    lacking = [
        " ".join(flag.words)
        for flag in safe_flags(invocation.architecture, machine.get("type"))
        if not _has(given, flag.words[-1].rpartition(".")[2])
    ]
    if "clock=vm" not in given:
        lacking.append("-rtc base=DATE,clock=vm")
    return tuple(lacking)


def _has(given: str, setting: str) -> bool:
    return setting in given or (setting == "hpet=off" and "-no-hpet" in given)


def _unconnected(backend: str) -> str:
    """What a replay connects a port to, in place of ``backend``."""
    return backend if backend in ("none", CONSOLE) else "null"
