"""What a GDB of ours knows about the guest's program: variables, source locations, and the frame at the cursor."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

from rrdbg.errors import GdbError
from rrdbg.links.mi import Gdb
from rrdbg.model.program.agent import Expression
from rrdbg.model.program.function import list_parameters, read_parameters, read_result
from rrdbg.model.program.gdb_functions import compilable, price_of
from rrdbg.model.program.tracing import Parameter, Tracepoint, read_listings
from rrdbg.model.program.untyped import Untyped, is_untyped, names_in, unknown_type, with_addresses, with_types
from rrdbg.model.program.variable import Variable
from rrdbg.model.results import Frame

_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")
_STANDARD = re.compile(r"\$(pc|sp|fp)\b")
_REAL = {"pc": "rip", "sp": "rsp", "fp": "rbp"}
_NOT_SCALAR = "Value not scalar"
_SYMBOL = re.compile(r"(\S+(?: \+ \d+)?) in section")

_CONDITION = re.compile(
    r"(?P<head>\s*(?:(?:t|h|th)?br?(?:e|ea|eak)?\s(?P<location>.*?)\bif\b|cond\w*\s+\d+\s))(?P<condition>.+)", re.DOTALL
)

_IN_CODE = re.compile(r" in section \S*text")

_HELD = "$_rrdbg_variable"


class GdbSymbols:
    """Asks ``gdb``, after ``refresh`` has brought its idea of the guest up to date; makes files for it in ``folder``.

    Inside ``described`` GDB sees the CPU as QEMU describes it, by whose numbers of registers code is compiled.
    """

    def __init__(
        self,
        gdb: Gdb,
        refresh: Callable[[], Awaitable[None]],
        described: Callable[[], AbstractAsyncContextManager[None]],
        folder: Path,
    ) -> None:
        self._gdb = gdb
        self._folder = folder
        self._refresh = refresh
        self._described = described
        self._places: dict[int, str] = {}

    async def load(self, path: str, line: str) -> None:
        """Run GDB's command ``line``, which reads the symbols of ``path``; what was read of that before is forgotten.

        :raises GdbError: GDB cannot read them.
        """
        await self._refresh()
        with suppress(GdbError):  # there is nothing to be forgotten the first time
            await self._gdb.console(f'remove-symbol-file "{path}"')
        await self._gdb.console(line)
        self._places.clear()

    async def load_made(self, name: str, content: bytes) -> None:
        """Read the symbols of an ELF file that was made of what the guest says itself; as for :meth:`load`.

        :raises GdbError: GDB cannot read them.
        """
        path = self._folder / f"{name}.elf"
        path.write_bytes(content)
        await self.load(str(path), f'with confirm off -- add-symbol-file "{path}" -o 0')

    async def variable(self, expression: str) -> Variable:
        """The place in memory of an expression's value.

        :raises GdbError: it cannot be evaluated here, or has no address.
        """
        await self._refresh()
        if is_untyped(await self._type(expression)):
            raise GdbError(unknown_type(expression))
        await self._gdb.console(f"set {_HELD} = &({expression})")
        address = await self._number(f"(unsigned long){_HELD}")
        return Variable(address, await self._number(f"(unsigned long)sizeof(*{_HELD})"), f"*{_HELD}")

    async def number(self, expression: str) -> int:
        """The value of an expression as an unsigned number.

        :raises GdbError: it has none here, or is no number.
        """
        await self._refresh()
        return await self._number(f"(unsigned long)({expression})")

    async def value(self, expression: str) -> str:
        """The value of an expression, as GDB's ``print`` shows it.

        :raises GdbError: it has none here.
        """
        await self._refresh()
        return await self._gdb.value(expression)

    async def compile(self, location: str, expressions: Sequence[str]) -> Sequence[Tracepoint]:
        """The addresses of a source location, each with ``expressions`` compiled for it.

        The addresses are where ``break`` would stop: after a function's prologue.

        :raises GdbError: there is no such location, or an expression cannot be compiled.
        """
        await self._refresh()
        if location.startswith("*"):
            address = await self._number(f"(unsigned long)({location[1:]})")
            return [Tracepoint(address, tuple([await self._at_address(address, text) for text in expressions]))]
        compiled = [await self._section(location, text) for text in expressions or ("0",)]
        return [
            Tracepoint(address, tuple(found[address] for found in compiled) if expressions else ())
            for address in sorted(compiled[0])
        ]

    async def place(self, address: int) -> str:
        """The function at an address, and how far into it: ``log_append+40``; the number where there is none."""
        match = _SYMBOL.match(await self._said(address))
        return match[1].replace(" + ", "+") if match else f"{address:#x}"

    async def code(self, address: int) -> str:
        """The same; empty where it is no code with a name."""
        return await self.place(address) if _IN_CODE.search(await self._said(address)) else ""

    async def _said(self, address: int) -> str:
        """What GDB says of an address, which a table asks for many times."""
        if address not in self._places:
            self._places[address] = await self._gdb.console(f"info symbol {address:#x}")
        return self._places[address]

    async def signature(self, function: str) -> tuple[Sequence[Parameter], str]:
        """The parameters of a function that can be printed, in order, and how its result is.

        :raises GdbError: there is no such function, or GDB has no Python.
        """
        told = await self._gdb.console(list_parameters(function))
        return read_parameters(told), read_result(told)

    async def frame(self) -> Frame | None:
        """The frame at the cursor; None where GDB has none to tell of."""
        await self._refresh()
        try:
            values = (await self._gdb.execute("-stack-info-frame")).values["frame"]
            text = await self._gdb.console("frame")
        except GdbError:
            return None
        function, line = values.get("func"), values.get("line")
        return Frame(
            function if function != "??" else None, values.get("file"), int(line) if line else None, text.rstrip("\n")
        )

    async def _number(self, expression: str) -> int:
        shown = await self._gdb.value(expression)
        match = _NUMBER.match(shown)
        if match is None:
            raise GdbError(f"'{expression}' is no number: {shown}")
        return int(match[0], 0)

    async def _section(self, location: str, expression: str) -> dict[int, Expression]:
        """``expression`` compiled for each address of ``location``."""
        expression = await self._compilable(expression, location)
        place = f"-at {location}, "
        try:
            text = await self._compiled(place + expression)
        except GdbError as error:
            if _NOT_SCALAR not in str(error):
                raise
            # An array stands for the address of its first element, as in C.
            text = await self._compiled(f"{place}&({expression})[0]")
        return read_listings(text)

    async def _compiled(self, words: str) -> str:
        async with self._described():
            return await self._gdb.console(f"maintenance agent-eval {words}")

    async def _at_address(self, address: int, expression: str) -> Expression:
        """``expression`` compiled for one instruction. GDB has no way to name it, and so finds no locals there.

        :raises GdbError: locals are needed.
        """
        code = await self._here(expression)
        if "$" not in expression and code.reads_registers:
            raise GdbError(
                f"'{expression}' needs a local variable, which GDB finds in a function or line only, not at "
                f"*{address:#x}; write FILE:LINE."
            )
        return code

    async def condition(self, expression: str) -> Expression:
        """An expression compiled to be judged anywhere in the recording, so without local variables.

        :raises GdbError: it cannot be compiled, or has some.
        """
        await self._refresh()
        code = await self._here(expression)
        if "$" not in expression and code.reads_registers:
            raise GdbError(f"'{expression}' needs a local variable, which is not there at other positions.")
        return code

    async def _here(self, expression: str) -> Expression:
        """``expression`` compiled for where the cursor is."""
        real = await self._compilable(expression)
        return next(iter(read_listings(await self._compiled(real)).values()))

    async def compilable_condition(self, line: str) -> str:
        """A line that sets a breakpoint with a condition, or a condition, as GDB compiles it right."""
        match = _CONDITION.fullmatch(line)
        if match is None:
            return line
        await self._refresh()
        if price_of(match["condition"]):
            return line
        return match["head"] + await self._compilable(match["condition"], (match["location"] or "").strip())

    def price_of_condition(self, line: str) -> str:
        """What to say beforehand if a line sets a condition that only GDB can judge; empty if it does not."""
        match = _CONDITION.fullmatch(line)
        return price_of(match["condition"]) if match else ""

    async def _compilable(self, expression: str, location: str = "") -> str:
        """``expression`` as GDB compiles it right, for ``location`` or for where the cursor is."""
        expression = compilable(expression)
        untyped: dict[str, Untyped] = {}
        for name in names_in(expression):
            found = is_untyped(await self._type(name))
            if found and not (location and await self._is_local(name, location)):
                address = await self._number(f"(unsigned long)&{name}")
                untyped[name] = Untyped(address, found["kind"] == "text")
        return await self._with_real_registers(with_addresses(expression, untyped))

    async def type_at(self, location: str, expression: str) -> str:
        """The type that an expression has at a location, wherever the cursor is, without names that stand for others.

        :raises GdbError: there is no such location, or it has none there.
        """
        await self._refresh()
        local = {}
        for name in names_in(expression):
            words = f"gdb.lookup_symbol({name!r}, gdb.block_for_pc(gdb.decode_line({location!r})[1][0].pc))[0]"
            told = await self._gdb.console(f"python s = {words}; print(s.type if s and s.needs_frame else '')")
            if told.strip():
                local[name] = told.strip()
        return (await self._gdb.console(f"ptype {with_types(expression, local)}")).removeprefix("type = ").strip()

    async def _type(self, expression: str) -> str:
        """The type of an expression as GDB shows it; empty where it has none."""
        try:
            return await self._gdb.console(f"whatis {expression}")
        except GdbError:
            return ""

    async def _is_local(self, name: str, location: str) -> bool:
        scope = await self._gdb.console(f"info scope {location}")
        return re.search(rf"^Symbol {name} is ", scope, re.MULTILINE) is not None

    async def _with_real_registers(self, expression: str) -> str:
        """``expression`` with the machine's own registers for ``$pc``, ``$sp``, ``$fp``, which GDB cannot compile."""
        if not _STANDARD.search(expression):
            return expression
        names = (await self._gdb.execute("-data-list-register-names")).values["register-names"]
        real = {short: f"${name}" for short, name in _REAL.items() if name in names}
        return _STANDARD.sub(lambda match: real.get(match[1], match[0]), expression)
