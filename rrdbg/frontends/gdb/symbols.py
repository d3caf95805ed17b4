"""What only GDB knows: expressions and locations of the guest's program, turned into what the server understands.

A value becomes ``*ADDRESS:LENGTH``, a location ``*ADDRESS``, and what ``tprintf`` prints bytecode that the server runs.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import gdb

from rrdbg.errors import UsageError
from rrdbg.frontends.gdb.declared import Declared
from rrdbg.frontends.gdb.modes import as_described
from rrdbg.model.program.function import Function, list_parameters, read_parameters, read_result
from rrdbg.model.program.gdb_functions import compilable
from rrdbg.model.program.scope import BEHIND, EVERYWHERE, HERE, PHYSICAL, read_scope, read_task, task_words
from rrdbg.model.program.tracing import Print, Tracepoint, read_listings
from rrdbg.model.program.untyped import Untyped, is_untyped, names_in, unknown_type, with_addresses

_BYTES = re.compile(r"\*.+:\d+")
_REGISTER = re.compile(r"\$\w+(?::\d+)?")
_IN_REGISTER = re.compile(r"which is in register \$(\w+)")
_ADDRESS_AND_LENGTH = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)\s+(\d+)")
_FORMAT = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_SCALAR = "Value not scalar"
_RANGE = re.compile(r"(?P<subject>.*?)(?P<range>(?:\s+from\s+\S+)?(?:\s+to\s+\S+)?)\s*", re.DOTALL)


def translate(command: Declared, arguments: str) -> str:
    """``arguments`` of ``command`` as the server understands them.

    :raises UsageError: something has no address, or more than one.
    :raises gdb.error: GDB cannot make sense of it here.
    """
    if not arguments or not command.takes or arguments in command.words:
        return arguments
    rest, task = read_task(arguments)
    if task:
        return f"{task_words(task)} {translate(command, rest)}"
    for scope in (HERE, EVERYWHERE, PHYSICAL, BEHIND):
        rest, scoped = read_scope(arguments, scope)
        if scoped:
            # What is not written as a number is meant by its virtual address.
            word = BEHIND if scope == PHYSICAL and not rest.startswith(("*", *"0123456789")) else scope
            return f"{word} {translate(command, rest)}"
    if command.name == "symbols":
        # The server reads the file, which is named from where GDB is.
        path = Path(arguments).expanduser().absolute()
        return str(path) if path.is_file() else arguments
    if command.name == "profile":
        return arguments  # the server names the functions on stacks, by the program's file
    if command.name == "tprintf":
        return _print(arguments)
    if command.name == "origin":
        what, option, depth = arguments.partition(" --depth")
        return value(what.strip()) + option + depth
    if command.takes[0] == "number":
        number, blank, rest = arguments.partition(" ")
        return f"{number}{blank}{translate(replace(command, takes=command.takes[1:]), rest.strip())}"
    match = _RANGE.fullmatch(arguments)
    assert match is not None, "every part of it may be empty"
    if command.takes[0] == "expression":
        what, _, wanted = (part.strip() for part in match["subject"].partition(" if "))
        judged = f" if {condition(wanted)}" if wanted else ""
        return variable(what) + judged + match["range"]
    if command.takes[0] == "condition":
        return condition(match["subject"]) + match["range"]
    if command.takes[0] == "location":
        where, _, wanted = (part.strip() for part in match["subject"].partition(" if "))
        address = location(where)
        judged = f" if @{_bytecode(where, address, wanted)}" if wanted else ""
        return f"*{address:#x}{judged}{match['range']}"
    if command.takes[0] == "function":
        return f"{function(match['subject'])}{match['range']}"
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
    if is_untyped(str(value.type)):
        raise UsageError(unknown_type(expression))
    address = value.address
    if address is None:
        raise UsageError(f"'{expression}' has no address; name a variable, or write *ADDRESS:LENGTH.")
    return f"*{_number(address):#x}:{value.type.sizeof}"


def value(expression: str) -> str:
    """As :func:`variable`, and ``$REGISTER:LENGTH`` of one that is in a register; a register stands for itself.

    :raises UsageError: it is in neither.
    """
    if _REGISTER.fullmatch(expression):
        return expression
    try:
        gdb.parse_and_eval(f"&({expression})")
    except gdb.error as error:
        if match := _IN_REGISTER.search(str(error)):
            return f"${match[1]}:{gdb.parse_and_eval(expression).type.sizeof}"
    return variable(expression)


def condition(expression: str) -> str:
    """``@CODE``: ``expression`` compiled to be judged anywhere in the recording.

    :raises UsageError: it has local variables.
    """
    code = read_listings(_compiled(_compilable(expression)))
    compiled = next(iter(code.values()))
    if "$" not in expression and compiled.reads_registers:
        raise UsageError(f"'{expression}' needs a local variable, which is not there at other positions.")
    return f"@{compiled.code.hex()}"


def location(text: str) -> int:
    """The address of a source location, where ``break`` would stop.

    :raises UsageError: it is at several addresses, or none.
    """
    rest, found = gdb.decode_line(text)
    addresses = sorted({line.pc for line in found or ()})
    if rest:
        raise UsageError(f"'{rest}' after the location is not understood.")
    if len(addresses) != 1:
        listed = ", ".join(f"*{address:#x}" for address in addresses) or "none"
        raise UsageError(f"'{text}' is not at one address ({listed}); name one of them.")
    return addresses[0]


def function(text: str) -> Function:
    """A function, or the instruction at an address, with how to read its arguments as far as GDB knows.

    :raises UsageError: it has no address.
    """
    value = gdb.parse_and_eval(text.removeprefix("*"))
    if value.type.strip_typedefs().code != gdb.TYPE_CODE_FUNC:
        return Function(_number(value))
    if value.address is None:
        raise UsageError(f"'{text}' has no address; write *ADDRESS.")
    entry = _number(value.address)
    if text.startswith("*"):
        return Function(entry)
    told = gdb.execute(list_parameters(text), to_string=True)
    parameters = read_parameters(told)
    codes = [read_listings(_compiled(f"-at {text}, {parameter.name}")) for parameter in parameters]
    places = sorted(codes[0]) if codes else ()
    points = [Tracepoint(place, tuple(code[place] for code in codes)) for place in places]
    return Function(entry, tuple(parameters), tuple(points), read_result(told))


def _print(text: str) -> str:
    """A ``tprintf`` whose location is an address and whose arguments are bytecode."""
    wanted = Print.read(text)
    address = location(wanted.location)
    codes = [_bytecode(wanted.location, address, argument) for argument in wanted.arguments]
    form = _FORMAT.search(text, len(wanted.location))
    assert form is not None, "Print.read has found it"
    where = f"*{address:#x}"
    if wanted.condition:
        where += f" if @{_bytecode(wanted.location, address, wanted.condition)}"
    line = ",".join([where, form[0], *(f"@{code}" for code in codes)])
    line += f" from {wanted.start}" if wanted.start else ""
    return line + (f" to {wanted.end}" if wanted.end else "")


def _bytecode(place: str, address: int, expression: str) -> str:
    """What GDB compiles ``expression`` to for the instruction at ``address``, which the user calls ``place``.

    :raises UsageError: ``place`` is a bare address, where GDB finds no local variables, and one is needed.
    """
    # GDB takes no bare address there, and compiles for the cursor then.
    where = "" if place.startswith("*") else f"-at {place}, "
    expression = _compilable(expression, place if where else "")
    try:
        text = _compiled(where + expression)
    except gdb.error as error:
        if _NOT_SCALAR not in str(error):
            raise
        # An array stands for the address of its first element, as in C.
        text = _compiled(f"{where}&({expression})[0]")
    compiled = read_listings(text)
    code = compiled[address] if where else next(iter(compiled.values()))
    if not where and "$" not in expression and code.reads_registers:
        raise UsageError(f"'{expression}' needs a local variable, which GDB does not find at {place}; write FILE:LINE.")
    return code.code.hex()


def _compiled(words: str) -> str:
    with as_described():
        return gdb.execute(f"maintenance agent-eval {words}", to_string=True)


def _compilable(expression: str, place: str = "") -> str:
    """``expression`` as GDB compiles it right, for ``place`` or for where the cursor is."""
    expression = compilable(expression)
    untyped: dict[str, Untyped] = {}
    for name in names_in(expression):
        try:
            symbol = gdb.parse_and_eval(name)
        except gdb.error:
            continue
        found = is_untyped(str(symbol.type))
        scope = gdb.execute(f"info scope {place}", to_string=True) if found and place else ""
        if found and symbol.address is not None and f"Symbol {name} is " not in scope:
            untyped[name] = Untyped(_number(symbol.address), found["kind"] == "text")
    return with_addresses(expression, untyped)


def _number(value: gdb.Value) -> int:
    """An address as a number without a sign."""
    return int(value) & ((1 << 8 * value.type.sizeof) - 1)
