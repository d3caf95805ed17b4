"""BTF, a kernel's own description of its types, which Debian's and most others carry in their memory.

Only what rrdbg needs of it: where members of structures lie. GDB gets all of it by way of bpftool
(:mod:`rrdbg.links.type_file`). The format is the kernel's (Documentation/bpf/btf.rst).
A guest's bytes may say anything: nothing is followed further than :data:`_DEEPEST`, nor out of the tables.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM = range(1, 7)
_FUNC_PROTO, _VAR, _DATASEC, _DECL_TAG, _ENUM64 = 13, 14, 15, 17, 19
_ALIASES = (8, 9, 10, 11, 18)
"""Typedefs, and types with a qualifier or a tag."""

_FIXED = {_INT: 4, _ARRAY: 12, _VAR: 4, _DECL_TAG: 4}
_EACH = {_STRUCT: 12, _UNION: 12, _ENUM: 8, _FUNC_PROTO: 8, _DATASEC: 12, _ENUM64: 12}
"""Bytes behind a type: in all, or for each of its members."""

_LAST_KIND = 19
_DEEPEST = 16
_MOST_TYPES = 2_000_000


class Btf:
    """The types in one such table; made by :meth:`read`."""

    def __init__(self, data: bytes, types: tuple[int, int], texts: tuple[int, int]) -> None:
        self._data = data
        self._texts = texts
        self._places = list(self._walk(*types))
        self._structures: dict[str, int] = {}
        for place in self._places:
            name, info, _ = _TYPE.unpack_from(data, place)
            if _kind(info) in (_STRUCT, _UNION) and name:
                self._structures.setdefault(self._text(name), place)

    @classmethod
    def read(cls, data: bytes) -> Btf | None:
        """The table in ``data``; None if there is none."""
        if len(data) < _HEADER.size:
            return None
        magic, version, _, size, types, types_size, texts, texts_size = _HEADER.unpack_from(data)
        ends = (size + types + types_size, size + texts + texts_size)
        if magic != _MAGIC or version != 1 or max(ends) > len(data):
            return None
        return cls(data, (size + types, ends[0]), (size + texts, ends[1]))

    @property
    def data(self) -> bytes:
        """All of the table, as the kernel has it."""
        return self._data

    @property
    def names(self) -> bytes:
        """All names in it, each with a zero behind."""
        return self._data[slice(*self._texts)]

    def offset(self, path: str) -> int | None:
        """Where a member lies in its structure, in bytes: ``task_struct.thread_info.flags``; None if there is none.

        A structure's name alone stands for its size.
        """
        structure, *members = path.split(".")
        place = self._structures.get(structure)
        if place is None:
            return None
        if not members:
            return int(_TYPE.unpack_from(self._data, place)[2])
        total = 0
        for number, member in enumerate(members):
            found = self._member(place, member)
            if found is None:
                return None
            bits, target = found
            total += bits // 8
            if number + 1 < len(members):
                inner = self._structure(target)
                if inner is None:
                    return None
                place = inner
        return total

    def _walk(self, start: int, end: int) -> Iterator[int]:
        """Where each type stands, the one with number 1 first."""
        place = start
        for _ in range(_MOST_TYPES):
            if place + _TYPE.size > end:
                return
            _, info, _ = _TYPE.unpack_from(self._data, place)
            kind = _kind(info)
            following = place + _TYPE.size + _FIXED.get(kind, 0) + _EACH.get(kind, 0) * (info & 0xFFFF)
            if not 1 <= kind <= _LAST_KIND or following > end:
                return
            yield place
            place = following

    def _member(self, place: int, wanted: str, depth: int = 0) -> tuple[int, int] | None:
        """Of a member, also one of an unnamed structure inside: its offset in bits, and the number of its type."""
        _, info, _ = _TYPE.unpack_from(self._data, place)
        for number in range(info & 0xFFFF):
            name, target, offset = _TYPE.unpack_from(self._data, place + _TYPE.size + 12 * number)
            bits = offset & 0xFF_FFFF if info >> 31 else offset
            if name and self._text(name) == wanted:
                return bits, target
            if not name and depth < _DEEPEST and (inner := self._structure(target)) is not None:
                found = self._member(inner, wanted, depth + 1)
                if found:
                    return bits + found[0], found[1]
        return None

    def _structure(self, number: int) -> int | None:
        """Where the structure stands that a type's number means."""
        for _ in range(_DEEPEST):
            if not 1 <= number <= len(self._places):
                return None
            place = self._places[number - 1]
            _, info, target = _TYPE.unpack_from(self._data, place)
            kind = _kind(info)
            if kind in (_STRUCT, _UNION):
                return place
            if kind not in _ALIASES:
                return None
            number = target
        return None

    def _text(self, offset: int) -> str:
        start, end = self._texts[0] + offset, self._texts[1]
        stop = self._data.find(b"\0", start, end)
        return self._data[start : stop if stop >= 0 else end].decode("latin-1")


def _kind(info: int) -> int:
    return info >> 24 & 0x1F
