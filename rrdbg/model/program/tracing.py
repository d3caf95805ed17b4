"""Printing on the way: what ``tprintf`` is given, and what it prints at each hit.

A front end with symbols compiles the arguments to agent expressions (:mod:`rrdbg.model.program.agent`), which are run
where the guest stands, in a tenth of the time that asking GDB takes. This module has only the standard library above it
and does no I/O, so that GDB's own interpreter can use it, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rrdbg.errors import UsageError
from rrdbg.model.program.agent import Expression
from rrdbg.model.program.guest_string import GuestString

_CONVERSION = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\d*)(?P<precision>\.\d*)?(?P<size>hh|h|ll|l|j|z|t)?(?P<letter>.?)", re.DOTALL
)
_BITS = {"hh": 8, "h": 16, None: 32}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b", "0": "\0"}
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_SCOPE = re.compile(r"^Scope: (0x[0-9a-f]+)$", re.MULTILINE)
_OPERATION = re.compile(r" *\d+  \S")
TracedValue = int | GuestString | str
"""What was found at a hit: a number, a string, or why there is neither."""


@dataclass(frozen=True, slots=True)
class Tracepoint:
    """An instruction, and what to work out before it is executed."""

    address: int
    expressions: tuple[Expression, ...] = ()

    @classmethod
    def read(cls, text: str) -> Tracepoint:
        """The inverse of ``str``: ``*0x1000`` or ``*0x1000,CODE,CODE``, each code in hexadecimal.

        :raises UsageError: it is something else.
        """
        address, *codes = text.removeprefix("*").split(",")
        try:
            return cls(int(address, 16), tuple(Expression(bytes.fromhex(code)) for code in codes))
        except ValueError:
            raise UsageError(f"'{text}' is not an address with bytecode; without symbols, write *0x1000.") from None

    def __str__(self) -> str:
        return ",".join([f"*{self.address:#x}", *(expression.code.hex() for expression in self.expressions)])


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function, and the conversion that prints its values, such as ``%ld``."""

    name: str
    conversion: str


@dataclass(frozen=True, slots=True)
class Conversion:
    """One ``%`` of a format: how to print a value of ``bits`` bits by ``letter``."""

    template: str
    letter: str
    bits: int

    def show(self, value: TracedValue) -> str:
        """``value``, a number or (for ``%s``) a string; a text stands for itself."""
        if isinstance(value, str):
            return value
        if isinstance(value, GuestString):
            return value.text if value.problem else self.template % value.text
        value &= (1 << self.bits) - 1
        match self.letter:
            case "d" | "i":
                return self.template % (value - (1 << self.bits) if value >> (self.bits - 1) else value)
            case "c":
                return self.template % chr(value & 0xFF)
            case _:
                return self.template % value


@dataclass(frozen=True, slots=True)
class Format:
    """A format as C's ``printf`` takes it, for integers, characters and strings."""

    pieces: tuple[str | Conversion, ...]

    @classmethod
    def read(cls, text: str) -> Format:
        """Take apart what stands between the quotes, escapes and all.

        :raises UsageError: a conversion is unknown.
        """
        pieces: list[str | Conversion] = []
        place = 0
        for match in _CONVERSION.finditer(text):
            pieces += [_unescaped(text[place : match.start()]), _conversion(match)]
            place = match.end()
        return cls((*pieces, _unescaped(text[place:])))

    @property
    def conversions(self) -> tuple[Conversion, ...]:
        """Those that take an argument, in order."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Conversion))

    def show(self, values: Sequence[TracedValue]) -> str:
        """The text with ``values`` filled in, one for each conversion."""
        left = iter(values)
        return "".join(piece if isinstance(piece, str) else piece.show(next(left)) for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Print:
    """What a user writes after ``tprintf``: ``LOCATION if CONDITION,"format",ARGUMENT...``, and then perhaps a range.

    ``condition`` is empty if there is none.
    """

    location: str
    format: Format
    arguments: tuple[str, ...]
    start: str = ""
    end: str = ""
    condition: str = ""

    @classmethod
    def read(cls, text: str) -> Print:
        """Take it apart.

        :raises UsageError: a part is missing, or the arguments are too many or too few.
        """
        location, quote, rest = _until_quote(text)
        place = _closing(rest) if quote else -1
        if place < 0 or not location.rstrip().endswith(",") or not location.rstrip(" ,"):
            raise UsageError("'tprintf' takes a location, a format in quotes and arguments: tprintf f,\"x is %d\\n\",x")
        form, tail = Format.read(rest[:place]), rest[place + 1 :].strip()
        body, start, end = _range(tail)
        if body and not body.startswith(","):
            raise UsageError(f"After the format comes a comma, or 'from' or 'to' and a position, not '{body}'.")
        arguments = tuple(split_arguments(body.removeprefix(",")))
        if len(arguments) != len(form.conversions):
            raise UsageError(
                f"The format has {len(form.conversions)} conversions, but there are {len(arguments)} arguments."
            )
        where, _, condition = location.rstrip(" ,").partition(" if ")
        return cls(where.rstrip(), form, arguments, start, end, condition.strip())

    @property
    def expressions(self) -> tuple[str, ...]:
        """What is to be worked out at each hit: the condition, if there is one, and then the arguments."""
        return (self.condition, *self.arguments) if self.condition else self.arguments


def split_arguments(text: str) -> list[str]:
    """The expressions in ``text``, which commas outside of brackets and quotes part."""
    found, depth, quote, begun = [], 0, "", 0
    characters = iter(enumerate(text))
    for place, char in characters:
        if char == "\\" and quote:
            next(characters, None)
        elif quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in _BRACKETS:
            depth += 1
        elif char in _BRACKETS.values():
            depth -= 1
        elif char == "," and depth == 0:
            found.append(text[begun:place].strip())
            begun = place + 1
    return [*found, text[begun:].strip()] if text.strip() else []


def assemble(listing: Iterable[str]) -> Expression:
    """The agent expression that GDB's ``maint agent-eval`` lists, one operation a line: ``  3  zero_ext 64``.

    :raises UsageError: a line is no operation that is known.
    """
    code = bytearray()
    for line in listing:
        words = line.split()
        size, opcode = _OPERATIONS.get(words[1], (-1, 0)) if len(words) > 1 else (-1, 0)
        if len(words) != (3 if size else 2) or not words[0].isdecimal() or int(words[0]) != len(code):
            raise UsageError(f"GDB compiled the expression to something unknown: '{line.strip()}'.")
        code.append(opcode)
        # GDB writes a number of 64 bits with a sign.
        code += (int(words[2]) % (1 << 8 * size)).to_bytes(size, "big") if size else b""
    return Expression(bytes(code))


def read_listings(text: str) -> dict[int, Expression]:
    """The agent expressions that ``maint agent-eval`` prints, by the address for which each was compiled.

    :raises UsageError: an operation is not known.
    """
    _, *parts = _SCOPE.split(text)
    # What begins with its place is an operation; before it stands a mask of the registers that are needed.
    return {
        int(address, 16): assemble(line for line in listing.splitlines() if _OPERATION.match(line))
        for address, listing in zip(parts[::2], parts[1::2], strict=True)
    }


_OPERATIONS = {
    "add": (0, 0x02), "sub": (0, 0x03), "mul": (0, 0x04), "div_signed": (0, 0x05), "div_unsigned": (0, 0x06),
    "rem_signed": (0, 0x07), "rem_unsigned": (0, 0x08), "lsh": (0, 0x09), "rsh_signed": (0, 0x0A),
    "rsh_unsigned": (0, 0x0B), "log_not": (0, 0x0E), "bit_and": (0, 0x0F), "bit_or": (0, 0x10), "bit_xor": (0, 0x11),
    "bit_not": (0, 0x12), "equal": (0, 0x13), "less_signed": (0, 0x14), "less_unsigned": (0, 0x15), "ext": (1, 0x16),
    "ref8": (0, 0x17), "ref16": (0, 0x18), "ref32": (0, 0x19), "ref64": (0, 0x1A), "if_goto": (2, 0x20),
    "goto": (2, 0x21), "const8": (1, 0x22), "const16": (2, 0x23), "const32": (4, 0x24), "const64": (8, 0x25),
    "reg": (2, 0x26), "end": (0, 0x27), "dup": (0, 0x28), "pop": (0, 0x29), "zero_ext": (1, 0x2A), "swap": (0, 0x2B),
    "pick": (1, 0x32), "rot": (0, 0x33),
}  # fmt: skip
"""Name, bytes of its argument and code of each operation, from the GDB manual's "Bytecode Descriptions"."""


def _conversion(match: re.Match[str]) -> str | Conversion:
    letter = match["letter"]
    if letter == "%":
        return "%"
    if not letter or letter not in "diuxXocsp":
        raise UsageError(f"tprintf does not know '{match[0]}'; it prints by %d %i %u %x %X %o %c %s and %p.")
    bits = 64 if letter in "sp" else _BITS.get(match["size"], 64)
    flags, shown = match["flags"], letter
    if letter == "p":
        flags, shown = flags + "#", "x"
    elif letter == "u":
        shown = "d"
    return Conversion(f"%{flags}{match['width']}{match['precision'] or ''}{shown}", letter, bits)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text, flags=re.DOTALL)


def _until_quote(text: str) -> tuple[str, str, str]:
    """Up to the format's opening quote, which follows a comma: a location may have quotes of its own."""
    match = re.search(r',\s*"', text)
    return (text[: match.end() - 1], '"', text[match.end() :]) if match else (text, "", "")


def _closing(text: str) -> int:
    match = re.match(r'(?:[^"\\]|\\.)*"', text, re.DOTALL)
    return match.end() - 1 if match else -1


def _range(text: str) -> tuple[str, str, str]:
    """What ``text`` says before ``from POSITION`` and ``to POSITION`` at its end, and these positions."""
    match = re.search(r"(?:(?:^|\s)from\s+(?P<start>\S+))?(?:(?:^|\s)to\s+(?P<end>\S+))?\s*$", text)
    assert match is not None, "both parts may be missing"
    return text[: match.start()].strip(), match["start"] or "", match["end"] or ""
