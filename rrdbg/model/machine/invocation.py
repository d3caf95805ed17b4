"""How QEMU is called for a recording: the user's command line made fit for record and replay.

:func:`prepare` is pure: it refuses what cannot be replayed, takes out what rrdbg must own (disks, console,
monitors), and adds what keeps a replay exact. What it returns is kept in the manifest; every later
QEMU of that recording is called with the same machine, which replay demands.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from rrdbg.errors import UsageError
from rrdbg.model.machine.drives import DRIVE_OPTIONS, Disk, Drives
from rrdbg.model.machine.network import Networks, unplugged
from rrdbg.model.machine.options import Option, format_properties, parse_options, parse_properties, words_of
from rrdbg.model.machine.refused import REFUSED_OPTIONS, Devices, check_backend, check_machine
from rrdbg.model.machine.safety import machine_type, safe_flags
from rrdbg.model.machine.semihosting import CONSOLE, Semihosting
from rrdbg.model.machine.semihosting import OPTIONS as SEMIHOSTING_OPTIONS
from rrdbg.model.machine.serial import Line, SerialPorts

_BUNDLED = ("kernel", "initrd", "dtb", "bios")
READERS = {"device": "driver", "fw_cfg": "name", "acpitable": "data", "smbios": "file"}
"""Options with a property ``file`` that the machine reads at its start, and what their first one is if not named."""

NO_FILES = ("none", "default")
"""What ``-bios`` may be given in the place of a file."""

FIRST_FD = 3
"""The number of the first bundled file in QEMU, after standard input, output and error."""

LAST_FD = 9
"""And of the last one; from there on come sockets."""

_HOST_ONLY = frozenset(
    {"display", "vnc", "spice", "monitor", "qmp", "qmp-pretty", "mon", "pidfile", "D", "d", "name", "trace"}
)
_REFUSED = {
    "snapshot": "-snapshot throws the disk's snapshots away; rrdbg writes to an overlay anyway, so leave it out",
    "enable-kvm": "KVM cannot be recorded instruction by instruction; leave -enable-kvm out",
    "icount": "rrdbg sets -icount itself; choose the rate with 'rrdbg record --shift N'",
    "daemonize": "rrdbg must stay QEMU's parent; leave -daemonize out",
    "S": "rrdbg starts the guest itself; leave -S out",
    "s": "a debugger must not disturb the recording; debug the replay instead, and leave -s out",
    "gdb": "a debugger must not disturb the recording; debug the replay instead, and leave -gdb out",
    "loadvm": "a recording begins with the machine's start; leave -loadvm out",
    "incoming": "a recording begins with the machine's start; leave -incoming out",
    "sd": "SD cards given with -sd are not supported; give the image with -drive",
    "mtdblock": "flash given with -mtdblock is not supported",
    **REFUSED_OPTIONS,
}


@dataclass(frozen=True, slots=True)
class Addition:
    """An option that rrdbg added to the user's, and the reason in one line."""

    words: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class BundledFile:
    """A file that the machine reads at its start; it is copied into the recording, as kernels get rebuilt.

    QEMU gets it opened, as file descriptor ``fd``, and so by a name that never changes: a multiboot kernel is told its
    name, which then lies in the guest's memory. None is for recordings that were made with the copy's path.
    ``slashes`` make that name longer, for a recording that was made with a name of its own. ``inside`` tells that
    the option is one of the machine's own with more in it than the file, such as ``-device loader``.
    """

    option: str
    source: str
    fd: int | None = None
    slashes: int = 0
    inside: bool = False

    @property
    def name(self) -> str:
        """What the copy is called; there may be several of ``-device``."""
        return f"{self.option}-{self.fd}" if self.inside else self.option

    @property
    def opened_as(self) -> str | None:
        """The name of the opened file; None if it goes by its path."""
        return None if self.fd is None else f"/dev/{'/' * self.slashes}fd/{self.fd}"


@dataclass(frozen=True, slots=True)
class Invocation:
    """One machine, described once and started many times.

    ``options`` go to every QEMU of the recording, ``host_options`` only to the recording one;
    ``chardevs`` are the ids that a replay gives a null device instead of the user's. ``line`` is what he wants at
    his end of the first serial port while recording. ``sleeps`` tells that idle time takes as long as the guest thinks;
    else the clock jumps to the next timer (QEMU's ``sleep=off``), which a replay must do, too.
    """

    binary: str
    options: tuple[Option, ...]
    host_options: tuple[Option, ...]
    chardevs: tuple[str, ...]
    bundled: tuple[BundledFile, ...]
    disks: tuple[Disk, ...]
    additions: tuple[Addition, ...]
    shift: str
    line: Line = field(default_factory=Line)
    sleeps: bool = True

    @property
    def architecture(self) -> str:
        """The guest's architecture, from QEMU's name: ``x86_64``, ``aarch64``, ..."""
        return architecture_of(self.binary)

    @property
    def board(self) -> str:
        """The board's name, as ``-machine`` has it; empty if it is an unknown architecture's default."""
        given: dict[str, str] = {}
        for option in self.options:
            if option.name in ("machine", "M"):
                given |= parse_properties(option.value or "", "type")
        return machine_type(self.architecture, given.get("type"))

    @property
    def pace(self) -> str:
        """How instructions make time, as ``-icount`` has it."""
        return f"shift={self.shift}" if self.sleeps else f"shift={self.shift},sleep=off"

    @property
    def reboots(self) -> bool:
        """Whether a reset lets the guest go on rather than end."""
        return not any(
            option.name == "no-reboot" or (option.name == "action" and "reboot=shutdown" in (option.value or ""))
            for option in self.options
        )

    @property
    def clock_base(self) -> str:
        """The date at which the guest's real-time clock starts, as ``-rtc base=`` has it."""
        words = self.machine_words()
        return parse_properties(words[words.index("-rtc") + 1], "base")["base"]

    @property
    def shares_console(self) -> bool:
        """Whether the guest writes to the console in another way, too, than through its first serial port."""
        words = self.machine_words()
        return any(
            name in ("-semihosting-config", "-device") and parse_properties(value).get("chardev") == CONSOLE
            for name, value in itertools.pairwise(words)
        )

    def machine_words(self) -> tuple[str, ...]:
        """What describes the machine itself: the user's options and rrdbg's additions."""
        added = (word for addition in self.additions for word in addition.words)
        return (*words_of(self.options), *added)

    def without_host(self) -> Invocation:
        """The same machine with nothing of the host's: its networks and chardevs lead nowhere, nobody types to it.

        So does every replay have it, of which several run at once.
        """
        hubs = itertools.count(1)
        options = tuple(unplugged(self.options, hubs))
        additions = [
            replace(addition, words=words_of(unplugged(parse_options(addition.words), hubs)))
            for addition in self.additions
        ]
        return replace(
            self,
            options=tuple(map(_unconnected, options)),
            additions=tuple(additions),
            host_options=(*(Option("chardev", f"null,id={name}") for name in self.chardevs), Option("display", "none")),
            line=Line(),
        )


def prepare(command: Sequence[str], *, shift: str, clock_base: str) -> Invocation:
    """Make the user's QEMU command line fit for recording.

    :param command: the program and its arguments.
    :param shift: ``-icount``'s shift: 0 to 10, or ``auto``.
    :param clock_base: the guest's clock at the start, ``YYYY-MM-DDTHH:MM:SS`` in UTC.
    :raises UsageError: something in it cannot be recorded; the message has the reason and the remedy.
    """
    if not command:
        raise UsageError("A QEMU command is missing; write: rrdbg record -- qemu-system-x86_64 ARGUMENTS")
    if shift != "auto" and not (shift.isdecimal() and int(shift) <= 10):
        raise UsageError(f"--shift {shift} is not a rate; give a number from 0 to 10, or auto.")
    return _Preparation(command[0], parse_options(command[1:]), shift, clock_base).result()


class _Preparation:
    """The pass over the user's options; lives for one call of :func:`prepare`."""

    def __init__(self, binary: str, options: tuple[Option, ...], shift: str, clock_base: str) -> None:
        self._binary = binary
        self._shift = shift
        self._clock_base = clock_base
        self._kept: list[Option] = []
        self._host: list[Option] = []
        self._bundled: list[BundledFile] = []
        self._drives = Drives()
        self._additions: list[Addition] = []
        self._serials = SerialPorts()
        self._semihosting = Semihosting()
        self._devices = Devices()
        self._machine = _machine_properties(options)
        pc = self._machine.get("type", "pc") if binary.rpartition("qemu-system-")[2] in ("x86_64", "i386") else None
        self._networks = Networks(pc)
        self._drives.take_machine(self._machine)
        self._clock: dict[str, str] = {}
        self._given = {option.name: option.value or "" for option in options}
        usb = "usb" in self._given or self._machine.get("usb") == "on"
        check_machine(
            machine_type(architecture_of(binary), self._machine.get("type")), self._given.get("vga", ""), usb=usb
        )
        self._check_machine_cpus()
        for option in options:
            self._take(option)

    def result(self) -> Invocation:
        """The finished invocation."""
        self._add_clock()
        self._add_machine_flags()
        self._add_devices()
        return Invocation(
            self._binary,
            tuple(map(self._with_console, self._kept)),
            (
                *filter(self._is_left, self._host),
                *(Option("chardev", value) for value in self._serials.chardevs.values()),
            ),
            tuple(self._serials.chardevs),
            tuple(self._bundled),
            self._drives.finish(),
            tuple(self._additions),
            self._shift,
            self._serials.line().listened() if self._semihosting.on else self._serials.line(),
        )

    def _is_left(self, option: Option) -> bool:
        """Whether an option of the host's stays: a monitor at the console goes, as it is rrdbg's own."""
        name = parse_properties(option.value or "", "chardev").get("chardev") if option.name == "mon" else None
        return name is None or name != self._serials.taken

    def _with_console(self, option: Option) -> Option:
        """``option`` with the console in the place of the user's own chardev for that."""
        if option.name == "device" and self._serials.shared:
            properties = parse_properties(option.value or "", "driver")
            if properties.get("chardev") == self._serials.taken:
                return Option("device", format_properties(properties | {"chardev": CONSOLE}))
        return option

    def _take(self, option: Option) -> None:
        name, value = option.name, option.value or ""
        if name in _REFUSED:
            raise UsageError(f"This cannot be recorded: {_REFUSED[name]}.")
        if name in _BUNDLED and value not in NO_FILES:
            self._bundled.append(BundledFile(name, value, FIRST_FD + len(self._bundled)))
        elif reader := file_reader(option, FIRST_FD + len(self._bundled)):
            self._kept.append(reader[0])
            self._bundled.append(reader[1])
        elif name in DRIVE_OPTIONS:
            if not self._drives.take(name, value):
                self._kept.append(option)
        elif name == "serial":
            self._serials.take(value)
        elif name == "nographic":
            self._serials.take_nographic()
        elif name in _HOST_ONLY:
            self._host.append(option)
        elif name == "chardev":
            self._serials.take_chardev(value)
        elif name == "rtc":
            self._clock = parse_properties(value)
        elif name in SEMIHOSTING_OPTIONS:
            self._semihosting.take(option.value)
        elif name in ("netdev", "nic", "net"):
            self._kept += self._networks.take(name, value)
        elif name not in ("no-shutdown", "no-hpet"):
            self._check(name, value)
            self._kept.append(option)

    def _check(self, name: str, value: str) -> None:
        if name == "smp" and _cpus(value) > 1:
            raise UsageError(
                f"This cannot be recorded: -smp {value} asks for {_cpus(value)} CPUs, and QEMU records one; "
                "leave -smp out."
            )
        if name == "cpu" and value.partition(",")[0] == "host":
            raise UsageError(
                "This cannot be recorded: -cpu host is this host's own, which KVM alone runs; use -cpu max instead."
            )
        accelerator = {
            "accel": parse_properties(value, "accel"),
            "machine": parse_properties(value, "type"),
            "M": parse_properties(value, "type"),
        }.get(name, {})
        chosen = accelerator.get("accel", "tcg").split(":")[0]
        if chosen != "tcg":
            raise UsageError(f"This cannot be recorded: the accelerator {chosen}; only tcg can be, so leave it out.")
        if accelerator.get("thread") == "multi":
            raise UsageError("This cannot be recorded: -accel tcg,thread=multi; leave thread=multi out.")
        if name == "object":
            check_backend(parse_properties(value, "qom-type"))
        if name == "device":
            driver = parse_properties(value, "driver").get("driver", "")
            self._devices.take(driver)
            self._networks.take_card(driver)
            self._drives.take_device(value)
            self._serials.take_device(value)

    def _check_machine_cpus(self) -> None:
        topology = {key[4:]: text for key, text in self._machine.items() if key.startswith("smp.")}
        if topology and (count := _cpus(format_properties(topology))) > 1:
            raise UsageError(
                f"This cannot be recorded: -machine smp... asks for {count} CPUs, and QEMU records one; leave smp out."
            )

    def _add_clock(self) -> None:
        clock = {"base": self._clock_base, "clock": "vm"} | self._clock
        if clock["clock"] != "vm":
            raise UsageError(f"This cannot be recorded: -rtc clock={clock['clock']}; only clock=vm replays exactly.")
        if clock["base"] in ("utc", "localtime"):
            clock["base"] = self._clock_base
        self._additions.append(
            Addition(
                ("-rtc", format_properties(clock)),
                "the guest's clock follows its instructions, from a fixed date",
            )
        )

    def _add_machine_flags(self) -> None:
        self._additions.append(Addition(("-no-shutdown",), "the end stays there to be looked at"))
        flags = safe_flags(architecture_of(self._binary), self._machine.get("type"))
        if not self._given.keys().isdisjoint(("vga", "nodefaults")):
            flags = [flag for flag in flags if flag.words[0] != "-vga"]
        self._additions += [Addition(flag.words, flag.reason) for flag in flags]

    def _add_devices(self) -> None:
        self._additions += [Addition(words, reason) for words, reason in self._networks.additions()]
        if not self._networks.asked:
            self._additions.append(Addition(("-nic", "none"), "no network was asked for, and the default one is live"))
        ports, console = self._serials.ports()
        reason = f"{console} is captured as the console" if console else "as you gave it"
        self._additions.append(Addition(tuple(word for port in ports for word in ("-serial", port)), reason))
        self._additions += [Addition(words, reason) for words, reason in self._semihosting.additions()]
        self._additions.append(Addition(("-monitor", "none"), "rrdbg talks to QEMU over connections of its own"))
        if not any(option.name in ("display", "vnc", "spice") for option in self._host):
            self._host.append(Option("display", "none"))


def _unconnected(option: Option) -> Option:
    """``option`` with nothing at the other end of a port that only prints."""
    if option.name in ("parallel", "debugcon") and option.value != "none":
        return replace(option, value="null")
    return option


def file_reader(option: Option, fd: int) -> tuple[Option, BundledFile] | None:
    """``option`` with the file that it names opened as ``fd``, and that file; None if it names none.

    These are ``-device loader,file=``, ``-fw_cfg file=``, ``-acpitable file=`` and ``-smbios file=``.
    """
    if option.name not in READERS or option.value is None:
        return None
    properties = parse_properties(option.value, READERS[option.name])
    if "file" not in properties or (option.name == "device" and properties.get("driver") != "loader"):
        return None
    file = BundledFile(option.name, properties["file"], fd, inside=True)
    return Option(option.name, format_properties(properties | {"file": str(file.opened_as)})), file


def architecture_of(binary: str) -> str:
    """The guest's architecture, from the name of QEMU's program."""
    return PurePath(binary).name.removeprefix("qemu-system-")


def _machine_properties(options: Iterable[Option]) -> dict[str, str]:
    """What all ``-machine`` and ``-M`` say together."""
    machine: dict[str, str] = {}
    for option in options:
        if option.name in ("machine", "M"):
            machine |= parse_properties(option.value or "", "type")
    return machine


def _cpus(value: str) -> int:
    properties = parse_properties(value, "cpus")
    try:
        topology = [int(properties.get(key, "1")) for key in ("sockets", "dies", "clusters", "cores", "threads")]
        return int(properties.get("cpus", math.prod(topology)))
    except ValueError:
        raise UsageError(f"'-smp {value}' is not a number of CPUs; leave -smp out.") from None
