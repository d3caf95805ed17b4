"""What a client can ask for the parts of: scopes, and values with members, which GDB keeps as variable objects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

from rrdbg.errors import GdbError, RrdbgError, UsageError
from rrdbg.frontends.dap.channel import Body
from rrdbg.frontends.dap.session import Session
from rrdbg.frontends.shared.members import members
from rrdbg.links.mi import quoted
from rrdbg.model.shown import shown

MOST_PARTS = 1000
"""Members of one value that are listed at once."""

_RELATIVE = re.compile(r"(?P<member>\w+)(?P<rest>(?:\.|->|\[).*)")
"""The way from a member on, as an editor may write it."""


class Parent(Protocol):
    """Something with parts."""

    async def parts(self, session: Session, start: int, count: int) -> list[Body]:
        """Its parts, from number ``start`` on, as the protocol has variables."""
        ...

    async def expression(self, session: Session, name: str) -> tuple[str, int]:
        """The part ``name`` as an expression that has an address, and the level of the function that it is meant in."""
        ...

    async def assignable(self, session: Session, name: str) -> tuple[str, int]:
        """The same, of what can be given a value."""
        ...


@dataclass(frozen=True, slots=True)
class Locals:
    """The arguments and local variables of a function."""

    level: int

    async def parts(self, session: Session, start: int, count: int) -> list[Body]:
        """Each by its name; one that an inner block hides is left out."""
        listed = await session.mi(f"-stack-list-variables --thread 1 --frame {self.level} --no-values")
        names = list(dict.fromkeys(variable["name"] for variable in listed["variables"]))
        return [await created(session, name, self.level) for name in names[start : start + count]]

    async def expression(self, session: Session, name: str) -> tuple[str, int]:
        """The name itself."""
        return name, self.level

    assignable = expression


@dataclass(frozen=True, slots=True)
class CpuRegisters:
    """The registers of the CPU at the cursor."""

    async def parts(self, session: Session, start: int, count: int) -> list[Body]:
        """Each in hexadecimal."""
        if session.debugger.in_what_if:
            values = await self._changed(session)
        else:
            values = [(name, hex(value)) for name, value in (await session.replay.registers()).items()]
        return [
            {"name": name, "value": value, "variablesReference": 0, "evaluateName": f"${name}"}
            for name, value in values[start : start + count]
        ]

    async def _changed(self, session: Session) -> list[tuple[str, str]]:
        """Those of a what-if, which GDB alone sees."""
        names = (await session.mi("-data-list-register-names"))["register-names"]
        told = (await session.mi("-data-list-register-values --skip-unavailable x"))["register-values"]
        return [(names[int(item["number"])], item["value"]) for item in told]

    async def assignable(self, session: Session, name: str) -> tuple[str, int]:
        """As GDB calls it."""
        return f"${name}", 0

    async def expression(self, session: Session, name: str) -> tuple[str, int]:
        """It has no address."""
        raise UsageError(f"${name} is a register; watch what it points to.")


@dataclass(frozen=True, slots=True)
class Members:
    """The members of a value; ``name`` is the variable object's."""

    name: str
    level: int

    async def parts(self, session: Session, start: int, count: int) -> list[Body]:
        """Those of one access, as if they were its own."""
        found = await members(session.mi, self.name, start, count)
        return [_variable(session, member.made, member.name, self.level, member.expression) for member in found]

    async def expression(self, session: Session, name: str) -> tuple[str, int]:
        """The way to a member from the variable; ``name`` may go on from there, or be a whole expression by itself."""
        if whole := await self._member(session, name):
            return whole, self.level
        if relative := _RELATIVE.fullmatch(name):
            begun = await self._member(session, relative["member"])
            return (f"{begun}{relative['rest']}" if begun else name), self.level
        raise UsageError(f"There is no member {name}.")

    async def _member(self, session: Session, name: str) -> str:
        """The expression of a member; empty if there is none of that name, or none that has an expression."""
        first, count = (int(name), 1) if name.isdecimal() else (0, MOST_PARTS)
        found = await members(session.mi, self.name, first, count)
        return next((member.expression for member in found if member.name == name), "")

    assignable = expression


async def created(session: Session, expression: str, level: int) -> Body:
    """The value of an expression in a function, as the protocol has variables; why there is none, in its place."""
    try:
        made = await evaluated(session, expression, level)
    except RrdbgError as error:
        return {"name": expression, "value": f"<{shown(str(error))}>", "variablesReference": 0}
    return made


async def evaluated(session: Session, expression: str, level: int) -> Body:
    """The same.

    :raises GdbError: it has none.
    """
    if not expression.isprintable():
        raise GdbError("An expression has one line.")
    where = f"--thread 1 --frame {level}"
    try:
        made = await session.mi(f"-var-create {where} - * {quoted(expression)}")
    except GdbError:
        # It says no more than that it cannot; this says why.
        await session.mi(f"-data-evaluate-expression {where} {quoted(expression)}")
        raise
    session.held.append(made["name"])
    return _variable(session, made, expression, level, expression)


async def assigned(session: Session, expression: str, level: int, value: str) -> Body:
    """Give what an expression names a ``value``, in a what-if; what it is then.

    :raises GdbError: it cannot have that.
    """
    if not value.isprintable():
        raise GdbError("A value has one line.")
    made = await session.mi(f"-var-create --thread 1 --frame {level} - * {quoted(expression)}")
    session.held.append(made["name"])
    await session.mi(f"-var-assign {made['name']} {quoted(value)}")
    return await evaluated(session, expression, level)


def _variable(session: Session, made: dict[str, Any], name: str, level: int, expression: str) -> Body:
    value, many = shown(str(made.get("value", ""))), int(made.get("numchild", 0))
    parts = many > 0 or made.get("dynamic") == "1"
    body: Body = {
        "name": name, "value": value, "type": str(made.get("type", "")),
        "variablesReference": session.reference(Members(made["name"], level)) if parts else 0,
    }  # fmt: skip
    if expression:
        body["evaluateName"] = expression
    if str(made.get("type", "")).endswith("]"):
        body["indexedVariables"] = many
    if value.startswith("0x"):
        body["memoryReference"] = value.split()[0]
    return body
