"""What there is to see at the cursor: the code, the functions that were called, their variables, and the registers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rrdbg.engine.replay import Replay
from rrdbg.engine.window import Window
from rrdbg.errors import GdbError, RrdbgError
from rrdbg.frontends.repl.runner import Runner
from rrdbg.frontends.shared.members import members
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.links.mi import quoted
from rrdbg.model.shown import shown
from rrdbg.store.opening import read_regular

Told = dict[str, Any]

_MOST_FRAMES = 64
_INSTRUCTIONS = 40
_MOST_SOURCE = 4 << 20
"""Bytes of a file of source; the largest of Linux's has one."""

_AROUND = 400
"""Lines of source before and after the one at the cursor."""

_MOST_PARTS = 200
_MOST_VALUE = 2000


class Places:
    """Tells the places of ``runner``'s cursor.

    Source is read from this machine where the symbols say, so it is only told if those are the user's own (``source``):
    a recording from elsewhere may name any file in them, and what is told may be exported.
    """

    def __init__(self, runner: Runner, *, source: bool) -> None:
        self._runner = runner
        self._source = source
        self._files: dict[str, list[str] | None] = {}

    async def tell(self) -> Told:
        """All that is to be seen where the cursor is."""
        replay, session = self._runner.replay, self._runner.session
        where, clock = replay.position, await session.clock()
        told: Told = {
            "position": position(where.icount, where.phase), "end": replay.timeline.end.icount,
            "percent": where.percent(replay.timeline.end), "time": clock.elapsed(where), "exact": clock.exact,
        }  # fmt: skip
        running = session.shown_running
        told |= {"task": str(running)} if running else {}
        debugger = self._runner.debugger
        told["gdb"] = debugger is not None
        told |= await self._registers(debugger.window if debugger else replay)
        if debugger is None:
            return told | {"note": "No GDB knows this guest, so there are no functions, variables and lines of source."}
        try:
            return told | await self._program(debugger)
        except RrdbgError as error:
            return told | {"note": shown(str(error))}

    async def _registers(self, where: Window | Replay) -> Told:
        """The registers; why not, where they cannot be read."""
        try:
            pc, registers = await where.pc(), await where.registers()
        except RrdbgError as error:
            return {"registers": [], "note": shown(str(error))}
        return {"pc": hex(pc), "registers": [[name, hex(value)] for name, value in registers.items()]}

    async def instructions(self) -> list[list[str]]:
        """The instructions of the function at the cursor, as far as they are near; without symbols, those ahead.

        Each is its address, where in the function it is, and its text.

        :raises RrdbgError: the guest's memory cannot be read there.
        """
        debugger, replay = self._runner.debugger, self._runner.replay
        if debugger:
            pc = await debugger.window.pc()
            try:
                listed = (await debugger.ask(f"-data-disassemble -a {pc:#x} -- 0"))["asm_insns"]
            except GdbError:
                listed = []  # there is no function of a name
            at = next((index for index, line in enumerate(listed) if int(line["address"], 0) == pc), None)
            if at is not None:
                return [_instruction(line) for line in listed[max(at - _INSTRUCTIONS, 0) : at + 2 * _INSTRUCTIONS]]
        ahead = await replay.disassemble(await replay.pc(), _INSTRUCTIONS)
        return [[hex(address), "", shown(text)] for address, text in ahead]

    async def _program(self, debugger: Debugger) -> Told:
        values = await debugger.ask(f"-stack-list-frames 0 {_MOST_FRAMES}")
        frames = [_frame(frame) for frame in values.get("stack", [])]
        arguments = await debugger.ask(f"-stack-list-arguments --simple-values 0 {_MOST_FRAMES}")
        for frame, listed in zip(frames, arguments.get("stack-args", []), strict=False):
            given = listed.get("frame", listed).get("args", [])
            frame["arguments"] = [[argument["name"], _value(argument)] for argument in given]
        try:
            chosen = int((await debugger.ask("-stack-info-frame"))["frame"]["level"])
        except GdbError:
            return {"frames": frames, "selected": 0, "locals": []}
        told: Told = {"frames": frames, "selected": chosen, "locals": await _locals(debugger, chosen)}
        frame = frames[chosen] if chosen < len(frames) else {}
        if frame.get("line"):
            told |= self._lines(frame)
        return told

    def _lines(self, frame: Told) -> Told:
        if not self._source:
            return {
                "unseen": "Source is not shown of a recording that was made elsewhere; --trust takes it for your own."
            }
        path, line = frame["path"], int(frame["line"])
        lines = self._file(path)
        if lines is None:
            return {"unseen": f"There is no file {path} here."}
        first = max(line - _AROUND, 1)
        return {
            "source": {"path": path, "line": line, "first": first, "lines": lines[first - 1 : line + _AROUND]},
        }

    def _file(self, path: str) -> list[str] | None:
        if path not in self._files:
            try:
                text = read_regular(Path(path), _MOST_SOURCE).decode(errors="replace")
                self._files[path] = [shown(line) for line in text.split("\n")]
            except (OSError, RrdbgError):
                self._files[path] = None
        return self._files[path]

    async def parts(self, expression: str) -> list[Told]:
        """The members of a value at the cursor, each with the expression that it has.

        :raises GdbError: it has none here.
        """
        debugger = self._runner.debugger
        if debugger is None:
            raise GdbError("Without a GDB there are no variables.")
        made = (await debugger.ask(f"-var-create - * {quoted(expression)}"))["name"]
        try:
            return await _children(debugger, made)
        finally:
            await debugger.ask(f"-var-delete {made}")

    async def symbols(self, text: str, most: int = 30) -> Told:
        """Functions and variables with ``text`` in their names.

        :raises GdbError: GDB cannot look for it.
        """
        debugger = self._runner.debugger
        if debugger is None:
            return {"functions": [], "variables": []}
        # In brackets a letter means itself, but for these, for which any one letter may stand.
        pattern = "".join("." if letter in "^]\\" else f"[{letter}]" for letter in text)
        return {kind: await _symbols(debugger, kind, pattern, most) for kind in ("functions", "variables")}


def position(icount: int, phase: int) -> Told:
    """A position as the page gets it."""
    return {"icount": icount, "phase": phase}


async def _symbols(debugger: Debugger, kind: str, pattern: str, most: int) -> list[Told]:
    """Those of a kind, the one of that very name first, and then those that begin with it."""
    found: dict[str, Told] = {}
    for anchored in (f"^{pattern}$", f"^{pattern}", pattern):
        asked = f"-symbol-info-{kind} --include-nondebug --name {quoted(anchored)} --max-results {most}"
        for symbol in _names((await debugger.ask(asked)).get("symbols", {})):
            found.setdefault(symbol["name"], symbol)
        if len(found) >= most:
            break
    return list(found.values())[:most]


def _instruction(line: Told) -> list[str]:
    function = line.get("func-name")
    where = f"{function}+{line.get('offset', '0')}" if function else ""
    return [hex(int(line["address"], 0)), shown(where), shown(str(line["inst"]).replace("\t", " "))]


def _frame(frame: Told) -> Told:
    frame = frame.get("frame", frame)
    path = frame.get("fullname") or frame.get("file") or ""
    return {
        "level": int(frame["level"]), "function": shown(frame.get("func", "??")), "address": frame.get("addr", ""),
        "path": shown(path), "line": int(frame.get("line", 0)), "arguments": [],
    }  # fmt: skip


async def _locals(debugger: Debugger, level: int) -> list[Told]:
    """The variables of a function; one that an inner block hides is left out."""
    listed = await debugger.ask(f"-stack-list-variables --thread 1 --frame {level} --simple-values")
    found: dict[str, Told] = {}
    for variable in listed["variables"]:
        name = variable["name"]
        found.setdefault(name, {
            "name": name, "expression": name, "type": shown(variable.get("type", "")), "value": _value(variable),
            "argument": variable.get("arg") == "1", "parts": "value" not in variable or _points(variable),
        })  # fmt: skip
    return list(found.values())


def _value(variable: Told) -> str:
    """A value as GDB writes it; what has members has none that is simple."""
    return shown(str(variable.get("value", "{...}")))[:_MOST_VALUE]


def _points(variable: Told) -> bool:
    kind = str(variable.get("type", ""))
    return kind.endswith("*") and not kind.startswith(("char", "const char", "void", "const void"))


async def _children(debugger: Debugger, name: str) -> list[Told]:
    return [
        {
            "name": shown(member.name), "expression": member.expression, "value": _value(member.made),
            "type": shown(member.made.get("type", "")), "argument": False,
            "parts": int(member.made.get("numchild", 0)) > 0,
        }
        for member in await members(debugger.ask, name, 0, _MOST_PARTS)
    ]  # fmt: skip


def _names(symbols: Told) -> list[Told]:
    found = []
    for file in symbols.get("debug", []):
        found += [
            {"name": shown(symbol["name"]), "file": shown(file.get("filename", "")), "line": symbol.get("line", "")}
            for symbol in file.get("symbols", [])
        ]
    found += [{"name": shown(symbol["name"]), "file": "", "line": ""} for symbol in symbols.get("nondebug", [])]
    return found
