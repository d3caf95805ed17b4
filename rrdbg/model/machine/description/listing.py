"""Reading ``key=value`` lists so that there is one way only to read them, and writing them again.

QEMU has three readers of such lists, and some of its options take JSON, too, where the value begins with a brace. What
is taken here means the same to each of them: a first value without a key, then keys that each stand once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rrdbg.model.document import Document, DocumentError
from rrdbg.model.machine.options import escape

Properties = dict[str, str]

_IMPLIED = re.compile(r"[^=,{][^=,]*")
_KEY = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)
_VALUE = re.compile(r"(?:[^,]|,,)*", re.DOTALL)


class Unreadable(Exception):
    """A list that could be read in several ways."""


def read_list(value: str, implied: str, *, json: bool) -> Properties:
    """The properties in ``value``; a first one without a key is ``implied``, and a later one without a value is on.

    ``json`` tells that QEMU reads JSON in the place of such a list.

    :raises Unreadable: there is more than one way to read it.
    """
    if value.startswith("{"):
        if not json:
            raise Unreadable("it begins as JSON does, which QEMU does not read there")
        return _from_json(value)
    properties: Properties = {}
    at = 0
    if implied and (found := _IMPLIED.match(value)) and value[found.end() : found.end() + 1] in ("", ","):
        properties[implied] = found[0]
        at = _next(value, found.end())
    while at < len(value):
        key = _KEY.match(value, at)
        if key is None:
            raise Unreadable(f"at {value[at : at + 20]!r} there is no name of a property")
        if key[0] in properties:
            raise Unreadable(f"{key[0]} is told twice")
        end = key.end()
        properties[key[0]] = "on"
        if value[end : end + 1] == "=":
            text = _VALUE.match(value, end + 1)
            assert text is not None
            properties[key[0]] = text[0].replace(",,", ",")
            end = text.end()
        at = _next(value, end)
    return properties


def write_list(properties: Iterable[tuple[str, str]]) -> str:
    """The list that :func:`read_list` reads so: each with its key, so that it never begins with a brace."""
    return ",".join(f"{key}={escape(text)}" for key, text in properties)


def _next(value: str, end: int) -> int:
    """Where the property begins that follows one which ends at ``end``."""
    if end == len(value):
        return end
    if value[end] != "," or end + 1 == len(value):
        raise Unreadable(f"at {value[end : end + 20]!r} there is no other property")
    return end + 1


def _from_json(value: str) -> Properties:
    try:
        properties = {key: item.scalar() for key, item in Document.parse(value).items()}
    except DocumentError as error:
        raise Unreadable(str(error)) from None
    for key in properties:
        if not _KEY.fullmatch(key):
            raise Unreadable(f"{key!r} is no name of a property")
    return properties
