"""What is different in one run of a hunt, chosen from a seed, and put into QEMU's command line.

Each aspect is something that another machine of the same kind might have: none makes anything happen that hardware
may not do. Which of them move a guest's interrupts at all was measured (docs/howto/hunt.md).
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from rrdbg.errors import UsageError
from rrdbg.model.hunt.places import Places
from rrdbg.model.machine.invocation import Invocation, architecture_of, prepare
from rrdbg.model.machine.network import recorded_backends
from rrdbg.model.machine.options import Option, format_properties, parse_options, parse_properties, words_of

PLAIN_SHIFT = 5
_SHIFTS = range(3, 9)
"""From 8 to 256 ns an instruction: the slower the CPU, the more interrupts come into the same code."""

_FIRST_DATE = datetime.datetime(2027, 1, 1)
"""Where nothing else is asked for the guest's clock starts here. No file in it is newer, which some guests check."""

_DATES_SECONDS = 5 * 365 * 86400
_LARGEST_RANDOM = 1 << 31
_RATES = (50, 100, 200, 500, 1000, 2000, 5000)
"""Requests to a disk in a second: from a slow card to more than most guests ask for."""

_SLOWEST_KEYS_MS = 500
"""From somebody who types ahead to somebody who looks before."""

_LATEST_PACKETS_MS = (1, 2, 5, 10, 20, 50, 100, 200)
"""From the next room to another continent."""

_LATEST_NS = 1_000_000
"""A system management interrupt may take a millisecond of the guest's time, and not say so."""

_ELSEWHERE = 4
"""Each fourth run has no place of its own."""

_JUMP = "jump"
_ITEM = 40
_MOST_ITEMS = 8
"""Characters in an item's name, each of which SeaBIOS reads in a loop; and items: QEMU has room for 32, its own too."""
_WITH_FIRMWARE = ("x86_64", "i386")
"""Architectures whose firmware reads the list of items, also where QEMU loads the kernel itself."""


class Aspect(StrEnum):
    """What a run may have in another way than a plain recording."""

    SHIFT = "shift"
    IDLE = "idle"
    RANDOM = "random"
    DATE = "date"
    FIRMWARE = "firmware"
    DISK = "disk"
    TYPING = "typing"
    PACKETS = "packets"
    LATER = "later"
    PLACE = "place"
    MEMORY = "memory"
    CPU = "cpu"


ALWAYS = (
    Aspect.SHIFT,
    Aspect.IDLE,
    Aspect.RANDOM,
    Aspect.DATE,
    Aspect.FIRMWARE,
    Aspect.DISK,
    Aspect.TYPING,
    Aspect.PACKETS,
)
"""Those that are used unless others are chosen; memory and CPU only from what the user lists."""

BY_THE_HOST = (Aspect.DISK, Aspect.TYPING, Aspect.PACKETS)
"""What goes by the host's clock, so that no run with it can be made again."""

IN_THE_MIDDLE = (Aspect.SHIFT, Aspect.IDLE, Aspect.LATER, Aspect.PLACE)
"""And those that can differ where a recording begins in another one."""


@dataclass(frozen=True, slots=True)
class Perturbation:
    """What one run has; None where it is as in a plain recording.

    ``shift``: an instruction takes 2**shift ns. ``idle``: ``jump`` ends idle time at once, at the very moment when
    the next timer is due; without it QEMU waits for as long as the guest does, and the host decides how much too
    long. ``random`` is the seed of the random numbers that the machine gives to its guest, ``date`` what its clock
    says at the start, ``firmware`` the characters of configuration items that the firmware has to read besides,
    ``disk`` the requests in a second that each disk may take, ``typing`` the ms between a prompt and what is typed
    there, ``packets`` the ms by which packets come late at most; ``memory`` and ``cpu`` are the values of ``-m`` and
    ``-cpu``. Where a recording begins in another one the clock is ``later`` by so many ns, as if firmware had taken
    that time; ``place`` is the icount where it does, if that is another one than for all runs.
    """

    shift: int | None = None
    idle: str | None = None
    random: int | None = None
    date: str | None = None
    firmware: int | None = None
    disk: int | None = None
    typing: int | None = None
    packets: int | None = None
    later: int | None = None
    place: int | None = None
    memory: str | None = None
    cpu: str | None = None

    def __str__(self) -> str:
        told = (f"{aspect}={getattr(self, aspect)}" for aspect in self.aspects)
        return " ".join(told) or "plain"

    @property
    def aspects(self) -> tuple[Aspect, ...]:
        """What is not as in a plain recording."""
        return tuple(Aspect(item.name) for item in fields(self) if getattr(self, item.name) is not None)

    def without(self, aspect: Aspect) -> Perturbation:
        """The same with ``aspect`` as in a plain recording."""
        return replace(self, **{aspect.value: None})

    @property
    def jumps(self) -> bool:
        """Whether idle time ends at once."""
        return self.idle is not None

    @property
    def rate(self) -> str:
        """The ``shift`` of a recording."""
        return str(PLAIN_SHIFT if self.shift is None else self.shift)

    def words(self, command: Sequence[str]) -> tuple[str, ...]:
        """The user's QEMU ``command`` as this run has it.

        What he has chosen himself of clock and random numbers stays.

        :raises UsageError: the command line lacks an argument.
        """
        options = list(parse_options(command[1:]))
        given = {option.name for option in options}
        if self.memory is not None:
            options = [*(option for option in options if option.name != "m"), Option("m", self.memory)]
        if self.cpu is not None:
            options = [*(option for option in options if option.name != "cpu"), Option("cpu", self.cpu)]
        if self.random is not None and "seed" not in given:
            options.append(Option("seed", str(self.random)))
        options += [Option("fw_cfg", f"name=opt/{name},string=1") for name in _item_names(self.firmware or 0)]
        return command[0], *words_of(_dated(options, self.date))


def _item_names(length: int) -> Iterator[str]:
    """Names of ``length`` together, which all differ."""
    for number in range(0, length, _ITEM):
        yield chr(ord("a") + number // _ITEM) * min(_ITEM, length - number)


def _dated(options: Sequence[Option], date: str | None) -> list[Option]:
    """``options`` with the clock's beginning, unless they tell one."""
    clock: dict[str, str] = {}
    for option in options:
        if option.name == "rtc":
            clock |= parse_properties(option.value or "")
    if clock.get("base", "utc") in ("utc", "localtime"):
        clock["base"] = date or _FIRST_DATE.isoformat()
    return [*(option for option in options if option.name != "rtc"), Option("rtc", format_properties(clock))]


@dataclass(frozen=True, slots=True)
class Choices:
    """What runs may differ in: the aspects, and the values of those that the user lists.

    If they are ``repeatable`` idle time ends at once in all of them, and the host has no part in any. With ``places``
    most of them begin at one of these.
    """

    aspects: tuple[Aspect, ...] = ALWAYS
    memory: tuple[str, ...] = ()
    cpus: tuple[str, ...] = ()
    repeatable: bool = False
    places: Places | None = None

    def of_run(self, seed: int, number: int) -> Perturbation:
        """What the run ``number`` of the hunt with ``seed`` has; the same each time it is asked. Run 0 is plain."""
        chosen = Perturbation()
        if number:
            chosen = self._placed(seed, number) or self._chosen(seed, number)
        return replace(chosen, idle=_JUMP) if self.repeatable else chosen

    def _placed(self, seed: int, number: int) -> Perturbation | None:
        """A run with a place of its own, else as the recording; not each, since races may be elsewhere, too."""
        if self.places is None or number % _ELSEWHERE == 0:
            return None
        drawn = self.places.of_run(seed, number - number // _ELSEWHERE)
        return drawn and Perturbation(place=drawn[0], later=drawn[1])

    def _chosen(self, seed: int, number: int) -> Perturbation:
        # Each aspect has a generator of its own, so that leaving one out changes no other.
        chosen = {
            aspect: self._value(aspect, random.Random(f"rrdbg hunt {seed} {number} {aspect}"))
            for aspect in self.aspects
        }
        return Perturbation(**{aspect.value: value for aspect, value in chosen.items()})  # type: ignore[arg-type]  # as _value has them

    def _value(self, aspect: Aspect, dice: random.Random) -> int | str | None:
        match aspect:
            case Aspect.SHIFT:
                return dice.choice(_SHIFTS)
            case Aspect.IDLE:
                return dice.choice((None, _JUMP))
            case Aspect.RANDOM:
                return dice.randrange(1, _LARGEST_RANDOM)
            case Aspect.DATE:
                return (_FIRST_DATE + datetime.timedelta(seconds=dice.randrange(_DATES_SECONDS))).isoformat()
            case Aspect.FIRMWARE:
                return dice.randrange(1, _ITEM * _MOST_ITEMS + 1)
            case Aspect.DISK:
                return dice.choice((None, *_RATES))
            case Aspect.TYPING:
                return dice.randrange(1, _SLOWEST_KEYS_MS + 1)
            case Aspect.PACKETS:
                return dice.choice((None, *_LATEST_PACKETS_MS))
            case Aspect.LATER:
                return dice.randrange(1, _LATEST_NS + 1)
            case Aspect.PLACE:
                return None
            case Aspect.MEMORY:
                return dice.choice(self.memory) if self.memory else None
            case Aspect.CPU:
                return dice.choice(self.cpus) if self.cpus else None


def machine_of(command: Sequence[str]) -> Invocation:
    """The machine of the user's QEMU ``command``, to be looked at before any run.

    :raises UsageError: such a machine cannot be recorded.
    """
    return prepare(command, shift=str(PLAIN_SHIFT), clock_base=_FIRST_DATE.isoformat())


def useful(aspects: Sequence[Aspect], command: Sequence[str], *, typed: bool = False) -> tuple[Aspect, ...]:
    """Those of ``aspects`` that there can be in the machine of ``command``: disks, networks, and firmware that looks
    for items; and something that is ``typed``.

    :raises UsageError: such a machine cannot be recorded.
    """
    invocation = machine_of(command)
    missing = set()
    if not invocation.disks:
        missing.add(Aspect.DISK)
    if invocation.architecture not in _WITH_FIRMWARE:
        missing.add(Aspect.FIRMWARE)
    if not typed:
        missing.add(Aspect.TYPING)
    if not recorded_backends(invocation.machine_words()):
        missing.add(Aspect.PACKETS)
    return tuple(aspect for aspect in aspects if aspect not in missing)


def usual(command: Sequence[str], *, typed: bool = False) -> tuple[Aspect, ...]:
    """What runs of ``command`` differ in unless others are chosen.

    Where idle time jumps a guest with a drive is ten to fifty times slower, also while it leaves that alone (10 M
    instructions a second with a virtio disk, 2 M with the empty CD drive that a PC has without ``-nodefaults``, and
    100 M without any; QEMU 7.2).

    :raises UsageError: such a machine cannot be recorded.
    """
    given = {option.name for option in parse_options(command[1:])}
    aspects = useful(ALWAYS, command, typed=typed)
    has_drive = Aspect.DISK in aspects or (architecture_of(command[0]) in _WITH_FIRMWARE and "nodefaults" not in given)
    return tuple(aspect for aspect in aspects if aspect is not Aspect.IDLE or not has_drive)


def parse_aspects(text: str) -> tuple[Aspect, ...]:
    """The aspects that ``text`` names, with commas between; ``none`` for runs that are all plain.

    :raises UsageError: one is unknown.
    """
    names = [name.strip() for name in text.split(",") if name.strip() not in ("", "none")]
    unknown = [name for name in names if name not in list(Aspect)]
    if unknown:
        raise UsageError(f"'{unknown[0]}' is nothing that a hunt can vary; that is: {', '.join(Aspect)}, or none.")
    return tuple(dict.fromkeys(map(Aspect, names)))
