"""Where a command's output goes: ``| COMMAND | PROGRAM`` and ``> FILE COMMAND``, and the forms with it behind.

The form in front is GDB's for a pipe, and works with every command. Behind a command it works where no C expression
can stand, in which ``|`` and ``>`` have a meaning of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from rrdbg.errors import UsageError

_IN_FRONT = re.compile(r"(?P<sink>\||pipe\s|>>?)\s*(?P<rest>.*)", re.DOTALL)
_BEHIND = re.compile(r"(?P<line>.*?\S)\s+(?P<sink>\||>>?)\s+(?P<target>\S.*)", re.DOTALL)


class Sink(StrEnum):
    """What takes the output."""

    TERMINAL = ""
    PROGRAM = "|"
    FILE = ">"
    END_OF_FILE = ">>"


@dataclass(frozen=True, slots=True)
class Redirected:
    """A command's line and where its output goes: to a program's input, or to a file."""

    line: str
    sink: Sink = Sink.TERMINAL
    target: str = ""


def read_redirect(line: str, takes_expression: Callable[[str], bool]) -> Redirected:
    """Take ``line`` apart; ``takes_expression`` tells of a command's line if a C expression may stand in it.

    :raises UsageError: a part is missing.
    """
    line = line.strip()
    if match := _IN_FRONT.fullmatch(line):
        sink = Sink.PROGRAM if match["sink"].startswith(("|", "pipe")) else Sink(match["sink"])
        return _in_front(sink, match["rest"])
    match = _BEHIND.fullmatch(line)
    if match and not takes_expression(match["line"]):
        return Redirected(match["line"], Sink(match["sink"]), match["target"].strip())
    return Redirected(line)


def _in_front(sink: Sink, rest: str) -> Redirected:
    if sink is Sink.PROGRAM:
        line, bar, target = rest.partition("|")
        if not bar or not line.strip() or not target.strip():
            raise UsageError("A pipe needs a command and a program: | info registers | grep rip")
        return Redirected(line.strip(), sink, target.strip())
    target, _, line = rest.partition(" ")
    if not line.strip():
        raise UsageError("After '>' come a file and a command: > registers.txt info registers")
    return Redirected(line.strip(), sink, target)
