"""What the plugin reads where a point is hit, and keeps beside the hit: the other half of ``reading.h``'s layout."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from rrdbg.model.program.agent import Expression
from rrdbg.model.program.guest_string import LONGEST

_VALUE = struct.Struct("=IIQ")
_TEXT_ROOM = LONGEST
_ADDRESS = struct.Struct("=Q")
_TOLD, _MISSING, _NO_TEXT = 0, 1, 3


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of ``expression`` is to be read; of a ``text``, the bytes up to a zero that it is the address of.

    Those that are ``back`` say where the call that begins there may return to; they come first.
    """

    expression: Expression
    text: bool = False
    back: bool = False

    @property
    def size(self) -> int:
        """Bytes that are kept of it, a multiple of eight."""
        return _VALUE.size + (_TEXT_ROOM if self.text else 0)


@dataclass(frozen=True, slots=True)
class Missing:
    """Memory that was to be read and is not mapped."""

    address: int
    length: int


@dataclass(frozen=True, slots=True)
class Text:
    """The bytes at ``address`` up to a zero, or as many as are read, or what is missing of them."""

    address: int
    content: bytes | Missing


Value = int | Text | Missing | None
"""A number; a text; what is missing to work it out; None if it cannot be told in any other way."""


@dataclass(frozen=True, slots=True)
class Record:
    """How what is kept of some ``readings`` lies in a file."""

    readings: tuple[Reading, ...]
    layout: struct.Struct
    has_texts: bool

    @classmethod
    def of(cls, readings: Sequence[Reading]) -> Record:
        """The layout for ``readings``, one behind the other."""
        form = "".join(f"IIQ{_TEXT_ROOM}s" if reading.text else "IIQ" for reading in readings)
        return cls(tuple(readings), struct.Struct("=" + form), any(reading.text for reading in readings))

    def read(self, file: mmap.mmap, place: int) -> tuple[Value, ...]:
        """What was read, from what ``file`` keeps of it at ``place``."""
        fields = self.layout.unpack_from(file, place)
        if not self.has_texts and not any(fields[::3]):
            return fields[2::3]
        left = iter(fields)
        return tuple(
            _value(next(left), next(left), next(left), next(left) if reading.text else None)
            for reading in self.readings
        )


def _value(state: int, length: int, value: int, text: bytes | None) -> Value:
    if state == _TOLD:
        return value if text is None else Text(value, text[:length])
    if state == _MISSING:
        return Missing(value, length)
    if state == _NO_TEXT and text is not None:
        (missing_at,) = _ADDRESS.unpack_from(text)
        return Text(value, Missing(missing_at, length))
    return None
