"""The events of a replay log, decoded one after another in bounded memory.

:func:`events` walks a log and yields an :class:`Event` for each one asked for. What its ``data`` holds
depends on the kind:

===================================  ==================================================================
INSTRUCTION                          int: instructions that ran before the next event
INTERRUPT, EXCEPTION, INPUT_SYNC     None
CHECKPOINT_*, END                    None
BH, BH_ONESHOT, BLOCK                int: the request's number, counted by QEMU
INPUT                                :class:`Key`, :class:`Button`, :class:`Motion` or :class:`Touch`
CHAR_READ                            :class:`CharRead`: what came in on a character device
NET                                  :class:`Packet`
SHUTDOWN                             :class:`~rrdbg.store.logformat.Shutdown`
CHAR_WRITE                           :class:`CharWrite`
CHAR_READ_ALL                        bytes read synchronously, by the monitor or semihosting for instance
CHAR_READ_ALL_ERROR                  int: a negative errno
AUDIO_OUT                            int: samples played
AUDIO_IN                             :class:`AudioIn`
RANDOM                               :class:`Random`
CLOCK_HOST                           int: host wall clock, ns since the epoch
CLOCK_VIRTUAL_RT                     int: QEMU's virtual real-time clock, ns
===================================  ==================================================================
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

from rrdbg.store.logformat import (
    AUDIO_WITH_RING_POSITION,
    FIRST_CHECKPOINT,
    FIXED_SIZES,
    HEADER_SIZE,
    LINUX_KEYS,
    RUN,
    SHUTDOWN_CAUSES,
    Damage,
    Kind,
    Shutdown,
    check_end,
    event_end,
    instructions_in_run,
)
from rrdbg.store.replaylog import describe_damage, open_log

# QAPI QKeyCode by number (qapi/ui.json); newer QEMU versions only append to it.
_QCODE_NAMES = """
unmapped shift shift_r alt alt_r ctrl ctrl_r menu esc 1 2 3 4 5 6 7 8 9 0 minus equal backspace tab q w e r t
y u i o p bracket_left bracket_right ret a s d f g h j k l semicolon apostrophe grave_accent backslash z x c v
b n m comma dot slash asterisk spc caps_lock f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 num_lock scroll_lock kp_divide
kp_multiply kp_subtract kp_add kp_enter kp_decimal sysrq kp_0 kp_1 kp_2 kp_3 kp_4 kp_5 kp_6 kp_7 kp_8 kp_9
less f11 f12 print home pgup pgdn end left up down right insert delete stop again props undo front copy open
paste find cut lf help meta_l meta_r compose pause ro hiragana henkan yen muhenkan katakanahiragana kp_comma
kp_equals power sleep wake audionext audioprev audiostop audioplay audiomute volumeup volumedown mediaselect
mail calculator computer ac_home ac_back ac_forward ac_refresh ac_bookmarks lang1 lang2
"""
_QCODES = _QCODE_NAMES.split()
# QAPI InputButton and InputAxis by number; touch was added in 8.1.
_BUTTON_NAMES = "left middle right wheel-up wheel-down side extra wheel-left wheel-right touch"
_BUTTONS = _BUTTON_NAMES.split()
_AXES = ["x", "y"]
# QAPI InputMultiTouchType by number.
_TOUCH_PHASES = ["begin", "update", "end", "cancel", "data"]


class KeySpace(Enum):
    """What a key's number counts."""

    NUMBER = "number"
    """A PC scan code, or QEMU's 0xe0-prefixed form of one."""
    QCODE = "qcode"
    """QEMU's QKeyCode."""
    LINUX = "linux"
    """Linux's input-event-codes.h."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key went down or up."""

    space: KeySpace
    code: int
    down: bool

    @property
    def name(self) -> str:
        """QEMU's name of the key (``ret``, ``shift_r``), or else space and number (``linux-28``)."""
        if self.space is KeySpace.QCODE:
            return _name(_QCODES, self.code, "qcode")
        return f"{self.space.value}-{self.code}"


@dataclass(frozen=True, slots=True)
class Button:
    """A mouse button (``left``, ``wheel-up``) went down or up."""

    button: str
    down: bool


@dataclass(frozen=True, slots=True)
class Motion:
    """The pointer moved along ``axis`` (``x`` or ``y``) by or, if ``absolute``, to ``value``.

    Absolute values run from 0 to 0x7fff over the screen.
    """

    axis: str
    value: int
    absolute: bool


@dataclass(frozen=True, slots=True)
class Touch:
    """A finger on a multi-touch screen; ``phase`` is begin, update, end, cancel or data."""

    phase: str
    slot: int
    tracking_id: int
    axis: str
    value: int


@dataclass(frozen=True, slots=True)
class CharRead:
    """``data`` came in on the ``device``-th character device, in the order QEMU made them, from 0."""

    device: int
    data: bytes


@dataclass(frozen=True, slots=True)
class CharWrite:
    """The guest wrote to a character device: ``accepted`` bytes were taken (or a negative errno).

    ``offset`` is how far a write that goes on until all is taken came. The device is not logged.
    """

    accepted: int
    offset: int


@dataclass(frozen=True, slots=True)
class Packet:
    """A network packet, Ethernet header first, arrived through the ``filter_id``-th filter-replay."""

    filter_id: int
    flags: int
    data: bytes


@dataclass(frozen=True, slots=True)
class AudioIn:
    """Recorded (left, right) samples; ``ring_position`` is where the ring stood, None from 0xe0200d on."""

    samples: tuple[tuple[int, int], ...]
    ring_position: int | None


@dataclass(frozen=True, slots=True)
class Random:
    """Random bytes that the guest got from the host; ``result`` is 0, or negative if the host failed."""

    result: int
    data: bytes


Payload = (
    int | bytes | Key | Button | Motion | Touch | CharRead | CharWrite | Packet | Shutdown | AudioIn | Random | None
)
"""What :attr:`Event.data` can be; the module's table says which for which kind."""


class Event(NamedTuple):
    """One event of a log.

    ``offset`` is where it stands in the file, in bytes; ``number`` counts all events of the log from 0;
    ``icount`` is how many instructions ran before it.
    """

    offset: int
    number: int
    icount: int
    kind: Kind
    data: Payload


def events(path: Path, kinds: Iterable[Kind] | None = None, start: int = 0, end: int | None = None) -> Iterator[Event]:
    """Yield the events of the replay log at ``path`` with ``start <= icount < end``, in order.

    ``kinds`` restricts them; None is all. What comes before ``start`` is skipped at some millions of events
    a second. Memory does not grow with the log. The file stays open until the iterator is used up or closed.

    :raises DamagedLog: (from the iterator, after all that could be read) the log is truncated or corrupt;
        damage behind ``end`` is not looked for.
    :raises LogError: as :func:`rrdbg.store.replaylog.read_header`.
    """
    wanted = bytearray(256)
    for kind in Kind if kinds is None else kinds:
        wanted[kind] = 1
    if wanted[Kind.SHUTDOWN]:
        wanted[Kind.SHUTDOWN : Kind.CHAR_WRITE] = b"\1" * len(SHUTDOWN_CAUSES)
    with open_log(path) as (file, version), mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        yield from _walk(path, data, version, bytes(wanted), start, end)


def _walk(path: Path, data: mmap, version: int, wanted: bytes, start: int, end: int | None) -> Iterator[Event]:
    """Yield the events of :func:`events` from the mapped log."""
    size = len(data)
    offset = HEADER_SIZE
    icount = index = kind = 0
    limit = _NEVER if end is None else end
    # Until icount is ``turn`` what has a size in ``skip`` is stepped over: first all, then all unwanted. A run is
    # stepped over as a whole, unless the turn or a ``sought`` checkpoint lies in it: then one by one up to ``walk``.
    unwanted = bytes(0 if wanted[kind] else _SIZES[kind] for kind in range(256))
    skip, turn = (_SIZES, start) if start > 0 else (unwanted, limit)
    checkpoints = bytes(kind for kind in range(FIRST_CHECKPOINT, Kind.END) if wanted[kind])
    sought = b"" if start > 0 else checkpoints
    walk = 0
    try:
        while offset < size and icount < limit:
            kind = data[offset]
            step = skip[kind]
            if not step:
                after = event_end(data, offset, version)
                if wanted[kind] and icount >= start:
                    payload = _decode(data, offset, after, version, icount)
                    yield Event(offset, index, icount, _KINDS[kind], payload)
                if not kind:
                    icount += _u32(data, offset + 1)[0]
                offset = after
                index += 1
                if kind == Kind.END:
                    break
                continue
            if kind:
                offset += step
                index += 1
                continue
            if offset >= walk and (run := RUN(data, offset)):
                after = run.end()
                ran = instructions_in_run(run[0])
                if icount + ran < turn and not any(checkpoint in run[0][5::6] for checkpoint in sought):
                    icount += ran
                    index += (after - offset) // 3  # two events in six bytes
                    offset = after
                    continue
                walk = after
            icount += _u32(data, offset + 1)[0]
            offset += 5
            index += 1
            if icount >= turn:
                skip, turn = unwanted, limit
                sought, walk = checkpoints, 0
        if icount < limit:
            check_end(data, offset, kind)
    except struct.error:
        raise describe_damage(path, Damage.cut(offset), icount) from None
    except Damage as damage:
        raise describe_damage(path, damage, icount) from None


_u32 = struct.Struct(">I").unpack_from
_NEVER = 1 << 64
# By id: the size of an event that can be stepped over, 0 for those of no fixed size and for END.
_SIZES = bytes(0 if kind == Kind.END else FIXED_SIZES.get(kind, 0) for kind in range(256))
_KINDS = {
    **{kind.value: kind for kind in Kind},
    **dict.fromkeys(range(Kind.SHUTDOWN, Kind.CHAR_WRITE), Kind.SHUTDOWN),
}


def _name(names: list[str], number: int, what: str) -> str:
    """Return the ``number``-th of ``names``, or one made up from ``what`` if there are not so many."""
    return names[number] if number < len(names) else f"{what}-{number}"


def _decode(data: mmap, offset: int, after: int, version: int, icount: int) -> Payload:
    """Return the payload of the whole event that takes the bytes from ``offset`` to ``after``."""
    kind = data[offset]
    decoder = _DECODERS.get(kind)
    if decoder is not None:
        return decoder(data[offset + 1 : after], version)
    if Kind.SHUTDOWN <= kind < Kind.CHAR_WRITE:
        return Shutdown(icount, SHUTDOWN_CAUSES[kind - Kind.SHUTDOWN])
    return None


def _number(payload: bytes, _: int) -> int:
    return int.from_bytes(payload)


def _signed(payload: bytes, _: int) -> int:
    return int.from_bytes(payload, signed=True)


def _input(payload: bytes, version: int) -> Key | Button | Motion | Touch:
    (kind,) = struct.unpack_from(">I", payload)
    if kind == 0:
        if version == LINUX_KEYS:
            space, (code, down) = KeySpace.LINUX, struct.unpack_from(">I?", payload, 4)
        elif struct.unpack_from(">I", payload, 4) == (0,):
            space, (code, down) = KeySpace.NUMBER, struct.unpack_from(">Q?", payload, 8)
        else:
            space, (code, down) = KeySpace.QCODE, struct.unpack_from(">I?", payload, 8)
        return Key(space, code, down)
    if kind == 1:
        number, down = struct.unpack_from(">I?", payload, 4)
        return Button(_name(_BUTTONS, number, "button"), down)
    if kind in {2, 3}:
        axis, value = struct.unpack_from(">Iq", payload, 4)
        return Motion(_name(_AXES, axis, "axis"), value, absolute=kind == 3)
    phase, slot, tracking_id, axis, value = struct.unpack_from(">IqqIq", payload, 4)
    return Touch(_name(_TOUCH_PHASES, phase, "phase"), slot, tracking_id, _name(_AXES, axis, "axis"), value)


def _char_read(payload: bytes, _: int) -> CharRead:
    return CharRead(payload[0], payload[5:])


def _char_write(payload: bytes, _: int) -> CharWrite:
    return CharWrite(*struct.unpack(">ii", payload))


def _packet(payload: bytes, _: int) -> Packet:
    filter_id, flags = struct.unpack_from(">BI", payload)
    return Packet(filter_id, flags, payload[9:])


def _audio_in(payload: bytes, version: int) -> AudioIn:
    position = None
    samples_at = 8
    if version == AUDIO_WITH_RING_POSITION:
        (position,) = struct.unpack_from(">Q", payload, 8)
        samples_at = 16
    return AudioIn(tuple(struct.iter_unpack(">QQ", payload[samples_at:])), position)


def _random(payload: bytes, _: int) -> Random:
    return Random(int.from_bytes(payload[:4], signed=True), payload[8:])


# By id, what turns an event's payload and the log's version into ``Event.data``; None for all others.
_DECODERS: dict[int, Callable[[bytes, int], Payload]] = {
    Kind.INSTRUCTION: _number,
    Kind.BH: _number,
    Kind.BH_ONESHOT: _number,
    Kind.BLOCK: _number,
    Kind.INPUT: _input,
    Kind.CHAR_READ: _char_read,
    Kind.NET: _packet,
    Kind.CHAR_WRITE: _char_write,
    Kind.CHAR_READ_ALL: lambda payload, _: payload[4:],
    Kind.CHAR_READ_ALL_ERROR: _signed,
    Kind.AUDIO_OUT: _number,
    Kind.AUDIO_IN: _audio_in,
    Kind.RANDOM: _random,
    Kind.CLOCK_HOST: _signed,
    Kind.CLOCK_VIRTUAL_RT: _signed,
}
