"""JSON that somebody else may have written, as typed values: bounded, finite, and never of a surprising type.

A reader asks a :class:`Document` for what it wants by key and type; whatever is not so ends in one sentence that names
the place. Depth, size and the number of values are bounded before Python makes objects of them: a value of one byte may
take 60.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from rrdbg.errors import RrdbgError

DEPTH = 16
"""How deep lists and objects may lie in one another; rrdbg's own files need 5."""

VALUES = 4_000_000
"""How many values there may be in one text: 250 MB as Python's objects."""

LARGEST = (1 << 63) - 1
"""The largest number that is taken where nothing else is said: QEMU counts instructions in 63 bits."""

TEXT = 1 << 16
"""The longest text that is taken where nothing else is said, in characters."""


class DocumentError(RrdbgError):
    """It is not JSON, or not what was asked for; the message names the place."""


class Document:
    """One value of a JSON text; ``place`` says where it stands, for the message of an error."""

    __slots__ = ("_value", "place")

    def __init__(self, value: object, place: str = "it") -> None:
        self._value = value
        self.place = place

    @classmethod
    def parse(cls, data: bytes | str) -> Document:
        """Read JSON.

        :raises DocumentError: it is none, or deeper or larger than anything of ours.
        """
        try:
            text = data.decode() if isinstance(data, bytes) else data
            if text.count(",") + text.count("[") + text.count("{") > VALUES:
                raise DocumentError(f"it has more than {VALUES:,} values")
            value = json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_object)
        except RecursionError:
            raise DocumentError(f"its values lie more than {DEPTH} deep in one another") from None
        except ValueError as error:
            raise DocumentError(f"it is not JSON ({error})") from None
        _check_depth(value)
        return cls(value)

    def __contains__(self, key: str) -> bool:
        return isinstance(self._value, dict) and key in self._value

    def __getitem__(self, key: str) -> Document:
        """The value of ``key`` of an object.

        :raises DocumentError: it is no object, or has no such key.
        """
        members = self._members()
        if key not in members:
            raise DocumentError(f"{self.place} has no {key!r}")
        return Document(members[key], key if self.place == "it" else f"{self.place}.{key}")

    def get(self, key: str) -> Document | None:
        """The value of ``key``; None if there is none, or null.

        :raises DocumentError: it is no object.
        """
        return None if self._members().get(key) is None else self[key]

    def items(self) -> Iterator[tuple[str, Document]]:
        """The keys of an object, and what stands there.

        :raises DocumentError: it is no object.
        """
        for key in self._members():
            Document(key, f"a key of {self.place}").text()
            yield key, self[key]

    def values(self, least: int = 0, most: int = VALUES) -> list[Document]:
        """The values of a list with ``least`` to ``most`` of them.

        :raises DocumentError: it is none.
        """
        if not isinstance(self._value, list) or not least <= len(self._value) <= most:
            raise self._wrong("a list" if most == VALUES else f"a list of {least} to {most} values")
        return [Document(value, f"{self.place}[{index}]") for index, value in enumerate(self._value)]

    def integer(self, low: int = 0, high: int = LARGEST) -> int:
        """A whole number from ``low`` to ``high``; true and 1.0 are none.

        :raises DocumentError: it is something else.
        """
        value = self._value
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._wrong(f"a whole number from {low:,} to {high:,}")
        return value

    def number(self, low: float = 0.0, high: float = 1e15) -> float:
        """A finite number from ``low`` to ``high``.

        :raises DocumentError: it is something else.
        """
        value = self._value
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise self._wrong(f"a number from {low:g} to {high:g}")
        return float(value)

    def text(self, longest: int = TEXT) -> str:
        """A text of at most ``longest`` characters, which all stand for themselves.

        :raises DocumentError: it is something else.
        """
        value = self._value
        if not isinstance(value, str) or len(value) > longest:
            raise self._wrong(f"a text of at most {longest:,} characters")
        if "\0" in value or (not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value)):
            raise DocumentError(f"{self.place} has a character in it that no text has")
        return value

    def flag(self) -> bool:
        """True or false.

        :raises DocumentError: it is something else.
        """
        if not isinstance(self._value, bool):
            raise self._wrong("true or false")
        return self._value

    def scalar(self) -> str:
        """A text, a whole number or true or false as QEMU writes it in ``key=value``.

        :raises DocumentError: it is something else.
        """
        if isinstance(self._value, bool):
            return "on" if self._value else "off"
        return str(self.integer(-LARGEST)) if isinstance(self._value, int) else self.text()

    def written(self, *, without: str) -> str:
        """An object as JSON, but for one of its members.

        :raises DocumentError: it is no object.
        """
        return json.dumps({key: value for key, value in self._members().items() if key != without})

    def plain(self) -> Any:
        """The value as Python has it, whatever it is."""
        return self._value

    def is_false(self) -> bool:
        """Whether it is the value false."""
        return self._value is False

    def is_null(self) -> bool:
        """Whether it is null, nothing."""
        return self._value is None

    def _members(self) -> dict[str, Any]:
        if not isinstance(self._value, dict):
            raise self._wrong("an object")
        return self._value

    def _wrong(self, wanted: str) -> DocumentError:
        return DocumentError(f"{self.place} is {_named(self._value)}, not {wanted}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Another reader may take the other one.
        raise ValueError("a key stands twice in one object")
    return found


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large")
    return value


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise DocumentError(f"its values lie more than {DEPTH} deep in one another")


def _named(value: object) -> str:
    match value:
        case None:
            return "null"
        case dict():
            return "an object"
        case list():
            return f"a list of {len(value):,}"
        case int() if abs(value) >= 1 << 64:
            return "a huge number"
        case str() if len(value) > 60:
            return f"a text of {len(value):,} characters"
        case _:
            return repr(value)
