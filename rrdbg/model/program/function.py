"""A function as somebody without symbols is told of it: where it begins, and where and how its arguments are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rrdbg.errors import UsageError
from rrdbg.model.program.tracing import Parameter, Tracepoint

_FORM = re.compile(r"\*0x(?P<entry>[0-9a-f]+)\((?P<names>[^;()]+);(?P<points>[^()]+)\)")

_PARAMETERS = """
import gdb
start = int(gdb.parse_and_eval(f"(unsigned long)&({function})"))
block = gdb.block_for_pc(start)
while block is not None and block.function is None:
    block = block.superblock
for symbol in block or ():
    kind = symbol.type.strip_typedefs() if symbol.is_argument else None
    if kind is None or kind.sizeof > 8:
        continue
    if kind.code == gdb.TYPE_CODE_PTR:
        target = kind.target().strip_typedefs()
        print(symbol.name, "%s" if target.code == gdb.TYPE_CODE_INT and target.sizeof == 1 else "%#lx")
    elif kind.code in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_ENUM, gdb.TYPE_CODE_BOOL, gdb.TYPE_CODE_CHAR):
        size = {1: "hh", 2: "h", 4: ""}.get(kind.sizeof, "l")
        print(symbol.name, "%" + size + ("d" if kind.is_signed else "u"))
"""
"""For GDB's Python: the parameters of ``function``, one a line. Structures and floating-point numbers are left out."""


@dataclass(frozen=True, slots=True)
class Function:
    """The address of the first instruction, the parameters, and where they are in their places, each by bytecode."""

    entry: int
    parameters: tuple[Parameter, ...] = ()
    points: tuple[Tracepoint, ...] = ()

    @classmethod
    def read(cls, text: str) -> Function | None:
        """The inverse of ``str``: ``*0x1000(a:%d,b:%#lx;*0x1010,CODE,CODE;*0x1050,CODE,CODE)``; None if it is no such.

        :raises UsageError: it looks like one, and has not as many codes as parameters.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            return None
        parameters = [Parameter(*item.partition(":")[::2]) for item in match["names"].split(",")]
        points = [Tracepoint.read(point) for point in match["points"].split(";")]
        if any(len(point.expressions) != len(parameters) for point in points):
            raise UsageError(f"'{text}' must have bytecode for each of its {len(parameters)} parameters.")
        return cls(int(match["entry"], 16), tuple(parameters), tuple(points))

    def __str__(self) -> str:
        if not self.parameters:
            return f"*{self.entry:#x}"
        names = ",".join(f"{parameter.name}:{parameter.conversion}" for parameter in self.parameters)
        return f"*{self.entry:#x}({';'.join([names, *map(str, self.points)])})"


def list_parameters(function: str) -> str:
    """The command for GDB that prints what :func:`read_parameters` reads."""
    return f"python exec({_PARAMETERS!r}, {{'function': {function!r}}})"


def read_parameters(text: str) -> Sequence[Parameter]:
    """The parameters that can be printed of a function, in order."""
    return [Parameter(*line.split()) for line in text.splitlines()]
