"""What GDB prints as values, turned into Python's numbers where it is one."""

from __future__ import annotations

import re

Value = bool | int | float | str

_INTEGER = re.compile(r"(-?\d+)(?: '.*')?", re.DOTALL)
_POINTER = re.compile(r"(?:\(.*?\) )?(?:@)?(0x[0-9a-f]+)(?: .*)?", re.DOTALL)
_FLOAT = re.compile(r"-?\d+\.\d*(?:e[-+]?\d+)?|-?\d+e[-+]?\d+")
_WORDS = {"true": True, "false": False}


def read_value(text: str) -> Value:
    """The number that GDB printed, or else the text itself: a structure, an array, an enumerator's name.

    >>> read_value("-5"), read_value("65 'A'"), read_value("0x104128 <tasks>"), read_value("{a = 1}")
    (-5, 65, 1065256, '{a = 1}')
    """
    if text in _WORDS:
        return _WORDS[text]
    if match := _INTEGER.fullmatch(text):
        return int(match[1])
    if match := _POINTER.fullmatch(text):
        return int(match[1], 16)
    return float(text) if _FLOAT.fullmatch(text) else text
