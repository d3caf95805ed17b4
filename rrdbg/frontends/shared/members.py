"""The members of a value of GDB's, each with the expression by which it can be asked for again."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from rrdbg.errors import GdbError

Ask = Callable[[str], Awaitable[dict[str, Any]]]
"""Gives the values of a command of GDB/MI; raises GdbError where GDB refuses it."""

_ACCESS = ("public", "private", "protected")

_CHAIN = r"\w+(?:(?:->|\.)\w+|\[\w+\])*"
_BRACKETED = re.compile(rf"(?<![\w)\]])\(({_CHAIN})\)(?=->|\.|\[)")
"""What GDB writes brackets around that it would not need itself: they are none of a call's."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a structure, an element of an array, or what a pointer points to."""

    name: str
    """As GDB calls it inside its value: a member's name, or an element's number."""

    expression: str
    """What GDB takes for it outside of its value; empty where a pretty-printer has made it up."""

    made: dict[str, Any]
    """What GDB tells of its variable object."""


async def members(ask: Ask, value: str, start: int, count: int) -> list[Member]:
    """Those of the variable object ``value`` from number ``start`` on; those of a base class come one level deeper.

    The groups that GDB makes of what is public, private and protected are opened.

    :raises GdbError: it has no such variable object.
    """
    children = await _children(ask, value, start, count)
    if len(children) > 1 and all(child["exp"].isdecimal() for child in children):
        return await _elements(ask, children)
    return [Member(child["exp"], await _path(ask, child["name"]), child) for child in children]


async def _children(ask: Ask, value: str, start: int, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for listed in (await ask(f"-var-list-children --all-values {value} {start} {start + count}")).get("children", []):
        child = listed.get("child", listed)  # older ones wrap each in a record
        if child["exp"] in _ACCESS and "type" not in child:
            found += await _children(ask, child["name"], 0, count)
        else:
            found.append(child)
    return found


async def _elements(ask: Ask, children: list[dict[str, Any]]) -> list[Member]:
    """Elements of an array, of which there may be many: the expressions differ in their numbers alone."""
    first = children[0]
    path, number = await _path(ask, first["name"]), f"[{first['exp']}]"
    before = path.removesuffix(number) if path.endswith(number) else ""
    return [Member(child["exp"], f"{before}[{child['exp']}]" if before else "", child) for child in children]


async def _path(ask: Ask, name: str) -> str:
    try:
        told = await ask(f"-var-info-path-expression {name}")
    except GdbError:
        return ""  # a pretty-printer has made it up
    return without_brackets(str(told["path_expr"]))


def without_brackets(path: str) -> str:
    """``path``, as GDB makes one, without the brackets that it would not need itself."""
    while (shorter := _BRACKETED.sub(r"\1", path)) != path:
        path = shorter
    return path
