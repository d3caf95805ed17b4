"""What only GDB knows: expressions and locations of the guest's program, turned into what the server understands.

A value becomes ``*ADDRESS:LENGTH``, a location ``*ADDRESS``, and what ``tprintf`` prints bytecode that the server runs.
"""

from __future__ import annotations

import re

import gdb

from rrdbg.errors import UsageError
from rrdbg.frontends.gdb.declared import Declared
from rrdbg.model.tracing import Print, assemble

_BYTES = re.compile(r"\*.+:\d+")
_ADDRESS_AND_LENGTH = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)\s+(\d+)")
_RANGE = re.compile(r"(?P<subject>.*?)(?P<range>(?:\s+from\s+\S+)?(?:\s+to\s+\S+)?)\s*", re.DOTALL)


def translate(command: Declared, arguments: str) -> str:
    """``arguments`` of ``command`` as the server understands them.

    :raises UsageError: something has no address, or more than one.
    :raises gdb.error: GDB cannot make sense of it here.
    """
    if not arguments or not command.takes or arguments in command.words:
        return arguments
    if command.name == "tprintf":
        return _print(arguments)
    match = _RANGE.fullmatch(arguments)
    assert match is not None, "every part of it may be empty"
    if command.takes[0] == "expression":
        return variable(match["subject"]) + match["range"]
    if command.takes[0] == "location":
        return location(match["subject"]) + match["range"]
    return arguments


def variable(expression: str) -> str:
    """``*ADDRESS:LENGTH`` of the value of ``expression``; of what says so itself, or ``ADDRESS LENGTH``, the same.

    :raises UsageError: it has no address.
    """
    if _BYTES.fullmatch(expression):
        return expression
    if match := _ADDRESS_AND_LENGTH.fullmatch(expression):
        return f"*{match[1]}:{match[2]}"
    value = gdb.parse_and_eval(expression)
    address = value.address
    if address is None:
        raise UsageError(f"'{expression}' has no address; name a variable, or write *ADDRESS:LENGTH.")
    return f"*{_number(address):#x}:{value.type.sizeof}"


def location(text: str) -> str:
    """``*ADDRESS`` of a source location.

    :raises UsageError: it is at several addresses, or none.
    """
    rest, found = gdb.decode_line(text)
    addresses = sorted({line.pc for line in found or ()})
    if rest:
        raise UsageError(f"'{rest}' after the location is not understood.")
    if len(addresses) != 1:
        listed = ", ".join(f"*{address:#x}" for address in addresses) or "none"
        raise UsageError(f"'{text}' is not at one address ({listed}); name one of them.")
    return f"*{addresses[0]:#x}"


def _print(text: str) -> str:
    """A ``tprintf`` whose location is an address and whose arguments are bytecode."""
    wanted = Print.read(text)
    address = location(wanted.location)
    codes = [_bytecode(address, argument) for argument in wanted.arguments]
    form = text[text.index('"', len(wanted.location)) :]
    form = re.match(r'"(?:[^"\\]|\\.)*"', form, re.DOTALL)[0]  # type: ignore[index]  # Print.read has found it
    line = ",".join([address, form, *(f"@{code}" for code in codes)])
    line += f" from {wanted.start}" if wanted.start else ""
    return line + (f" to {wanted.end}" if wanted.end else "")


def _bytecode(address: str, expression: str) -> str:
    listing = gdb.execute(f"maintenance agent-eval -at {address},{expression}", to_string=True)
    lines = [line for line in listing.splitlines() if re.match(r"\s*\d+\s+\w", line)]
    return assemble(lines).code.hex()


def _number(pointer: gdb.Value) -> int:
    """An address as a number without a sign."""
    return int(pointer) & ((1 << 8 * pointer.type.sizeof) - 1)
