"""A function as somebody without symbols is told of it: where it begins, and where and how its arguments are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rrdbg.errors import UsageError
from rrdbg.model.program.tracing import Parameter, Tracepoint

_FORM = re.compile(r"\*0x(?P<entry>[0-9a-f]+)(?:=(?P<result>[^()]+))?(?:\((?P<names>[^;()]+);(?P<points>[^()]+)\))?")

NO_VALUE = "void"
"""In the place of a conversion: the function gives nothing, or not in the register of results."""

UNKNOWN = "%#lx"
"""How the register of results is shown where nobody knows what it holds."""

_PARAMETERS = """
import gdb
start = int(gdb.parse_and_eval(f"(unsigned long)&({function})"))
block = gdb.block_for_pc(start)
integers = (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_ENUM, gdb.TYPE_CODE_BOOL, gdb.TYPE_CODE_CHAR)
def number(kind):
    size = {1: "hh", 2: "h", 4: ""}.get(kind.sizeof, "l")
    return "%" + size + ("d" if kind.is_signed else "u")
while block is not None and block.function is None:
    block = block.superblock
for symbol in block or ():
    kind = symbol.type.strip_typedefs() if symbol.is_argument else None
    if kind is None or kind.sizeof > 8:
        continue
    if kind.code == gdb.TYPE_CODE_PTR:
        target = kind.target().strip_typedefs()
        print(symbol.name, "%s" if target.code == gdb.TYPE_CODE_INT and target.sizeof == 1 else "%#lx")
    elif kind.code in integers:
        print(symbol.name, number(kind))
result = block.function.type.target() if block is not None else None
result = result.strip_typedefs() if result is not None else None
if result is None:
    print("= %#lx")
elif result.code == gdb.TYPE_CODE_PTR:
    print("= %p")
else:
    print("=", number(result) if result.code in integers and result.sizeof <= 8 else "void")
"""
"""For GDB's Python: the parameters of ``function``, one a line, and how its result is printed.

Structures and floating-point numbers are left out.
"""


@dataclass(frozen=True, slots=True)
class Function:
    """The address of the first instruction, the parameters, and where they are in their places, each by bytecode."""

    entry: int
    parameters: tuple[Parameter, ...] = ()
    points: tuple[Tracepoint, ...] = ()
    result: str = UNKNOWN
    """The conversion that prints what it returns, or :data:`NO_VALUE`."""

    @classmethod
    def read(cls, text: str) -> Function | None:
        """The inverse of ``str``: ``*0x1000=%d(a:%d,b:%#lx;*0x1010,CODE,CODE;*0x1050,CODE,CODE)``, in which one of
        the parts behind the address may be missing; None if it is no such.

        :raises UsageError: it looks like one, and has not as many codes as parameters.
        """
        match = _FORM.fullmatch(text)
        if match is None or match["result"] is match["names"] is None:
            return None
        entry, result = int(match["entry"], 16), match["result"] or UNKNOWN
        if match["names"] is None:
            return cls(entry, result=result)
        parameters = [Parameter(*item.partition(":")[::2]) for item in match["names"].split(",")]
        points = [Tracepoint.read(point) for point in match["points"].split(";")]
        if any(len(point.expressions) != len(parameters) for point in points):
            raise UsageError(f"'{text}' must have bytecode for each of its {len(parameters)} parameters.")
        return cls(entry, tuple(parameters), tuple(points), result)

    def __str__(self) -> str:
        head = f"*{self.entry:#x}" + ("" if self.result == UNKNOWN else f"={self.result}")
        if not self.parameters:
            return head
        names = ",".join(f"{parameter.name}:{parameter.conversion}" for parameter in self.parameters)
        return f"{head}({';'.join([names, *map(str, self.points)])})"


def list_parameters(function: str) -> str:
    """The command for GDB that prints what :func:`read_parameters` reads."""
    return f"python exec({_PARAMETERS!r}, {{'function': {function!r}}})"


def read_parameters(text: str) -> Sequence[Parameter]:
    """The parameters that can be printed of a function, in order."""
    return [Parameter(*line.split()) for line in text.splitlines() if not line.startswith("= ")]


def read_result(text: str) -> str:
    """How the result is printed, from the same text."""
    return next((line[2:].strip() for line in text.splitlines() if line.startswith("= ")), UNKNOWN)
