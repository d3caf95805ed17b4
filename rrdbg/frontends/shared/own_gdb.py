"""A GDB of our own on the same cursor: it knows symbols, source lines and all of GDB's commands.

It is connected to our own server, so its movements are ours; what moves the cursor without it, it does not see.
Invariant: before it is asked anything it is told to look again, if the guest has changed since.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rrdbg.commands.session import Session
from rrdbg.engine.queries.returning import run_out
from rrdbg.engine.replay import Replay
from rrdbg.engine.window import Window
from rrdbg.errors import GdbError, Interrupted, Stalled
from rrdbg.frontends.server.connection import Server
from rrdbg.frontends.server.stub import AT_ONCE_SECONDS, Aftermath
from rrdbg.frontends.shared.symbol_lines import FILE, symbol_lines
from rrdbg.links.gdb_choice import find_gdb
from rrdbg.links.mi import Gdb, quoted
from rrdbg.links.symbols import GdbSymbols
from rrdbg.model.hits.stop import Breakpoint, Hit, Stop, StopReason, Watchpoint
from rrdbg.model.program.code_mode import CodeMode, described_as, lines_to_see
from rrdbg.model.program.no_caller import way_out
from rrdbg.model.results import Message, Output, Result
from rrdbg.store.workfolder import WorkFolder

_SETTINGS = ("set disassemble-next-line auto", "set max-completions 500")
_OUR_WATCH = re.compile(r"(?P<verb>r?watch|awatch)\s+\*(?P<address>[^:\s]+):(?P<length>\d+)")
_NUMBERS = {1: "unsigned char", 2: "unsigned short", 4: "unsigned int", 8: "unsigned long"}
_HITS = {
    "breakpoint-hit": StopReason.BREAKPOINT,
    "watchpoint-trigger": StopReason.WATCHPOINT,
    "read-watchpoint-trigger": StopReason.WATCHPOINT,
    "access-watchpoint-trigger": StopReason.WATCHPOINT,
}
_WATCHES = ("wpt", "hw-rwpt", "hw-awpt")
_FINISH = ("finish", "fin")
_OF_32_BITS = f'currently "{CodeMode.BITS32}"'
"""In what GDB says of the architecture that a file of symbols is for."""

_NO_CALLER = re.compile("not meaningful in the outermost frame|Initial frame selected; you can(?:no|')t go up")
_NEXT = re.compile(r"^=> 0x[0-9a-f]+.*$", re.MULTILINE)
_IN_SCRIPT = re.compile(r"^\S+block\.gdb:\d+: Error in sourced command file:\n")
_FAR = re.compile(r"0x0*[1-9a-f][0-9a-f]{8,}")
"""An address of more than 32 bits."""

_WORD = re.compile(r"[\w-]+")
_SETS = re.compile(r"\s*(?:(?:t|h|th)?br?e?a?k?|dpr\w*|[ra]?wat?c?h?|cond\w*)\b")
"""Commands that set a point, or give it a condition."""

_LOOK = frozenset({
    "x", "disassemble", "info", "show", "print", "p", "output", "printf", "list", "backtrace", "bt", "where", "frame",
})  # fmt: skip
"""Commands of GDB's that never set the guest going, and so need no breakpoints."""

_TOLD = "Program received signal SIGINT"
_ENDS = (StopReason.START, StopReason.END)


class Debugger:
    """GDB, our server that it is connected to, and the session that both share; made by :meth:`on`."""

    def __init__(self, replay: Replay, server: Server, gdb: Gdb, folder: Path) -> None:
        self._replay = replay
        self._folder = folder
        self._server = server
        self._gdb = gdb
        self._seen = server.stub.state
        self._described = described_as(replay.recording.manifest.invocation.architecture)
        self._short = False
        """Whether the symbols are those of a 32-bit program, though the CPU has 64 bits."""
        self._names: frozenset[str] = frozenset()
        self._ending: asyncio.Task[None] | None = None
        self._running_out: asyncio.Task[Any] | None = None
        self.symbols = GdbSymbols(gdb, self.refresh, self._as_described, folder)
        """What GDB knows of the guest's program."""

    @classmethod
    @asynccontextmanager
    async def on(cls, replay: Replay, program: str, symbols: Path | None) -> AsyncIterator[Debugger]:
        """A GDB on ``replay``, with the symbols in the file ``symbols``, or those that a Linux guest has itself.

        :raises QemuLaunchError: there is no such program, or none that knows such guests.
        :raises GdbError: it cannot read the symbols, or does not know the guest's architecture.
        """
        server = Server(replay, looks_again=True)
        with WorkFolder() as folder:
            await server.listen(f"unix:{folder}/socket")
            try:
                program = await find_gdb(replay.recording.manifest.invocation.architecture, program)
                gdb = await Gdb.start(program, served=lambda: server.served)
                try:
                    debugger = cls(replay, server, gdb, folder)
                    await debugger._connect(symbols)
                    yield debugger
                finally:
                    await gdb.close()
            finally:
                await server.close()

    @property
    def session(self) -> Session:
        """The session that commands of ours work on, and ``monitor`` commands of GDB's."""
        return self._server.stub.session

    @property
    def in_what_if(self) -> bool:
        """True while GDB has a copy of the guest that leaves the recording."""
        return self._server.stub.in_what_if

    @property
    def window(self) -> Window:
        """What is stored of the last few positions: looking there needs no machine at the cursor."""
        return self._server.stub.window

    @property
    def alive(self) -> bool:
        """False once GDB has ended."""
        return self._gdb.alive

    @property
    def moving(self) -> bool:
        """True while GDB moves the guest."""
        return self._server.stub.moving

    def canonical(self, word: str) -> str | None:
        """The whole name of GDB's command that ``word`` is a beginning of; ``word`` itself if of several."""
        if word in self._names:
            return word
        found = [name for name in self._names if name.startswith(word)]
        return None if not found else found[0] if len(found) == 1 else word

    async def run(self, line: str) -> list[Result]:
        """Run a command of GDB's and return what it prints, as :class:`Stopped` if it moved the guest.

        A command of several lines is given to GDB as a script.

        :raises GdbError: GDB refused it; the message is GDB's.
        :raises Interrupted: the user stopped it.
        :raises RrdbgError: a movement failed.
        """
        await self.refresh()
        price = self.symbols.price_of_condition(line)
        told: list[Result] = [Message(price)] if price else []
        line = await self.symbols.compilable_condition(line)
        await self._see_enough_for(line)
        stub = self._server.stub
        aftermath = stub.aftermath = Aftermath()
        stub.unsaid = ""  # whoever waits for this is told by an error
        try:
            answer = await self._gdb.execute(f"-interpreter-exec console {quoted(self._one_line(line))}")
        except GdbError as error:
            if stub.halted:
                raise self._interrupted("") from None
            told_by_gdb = _IN_SCRIPT.sub("", str(error))
            if _NO_CALLER.search(told_by_gdb) and not aftermath.failure:
                unknown, runs_out = await self._code_here(line)
                if stub.halted:  # while GDB was asked about it
                    raise self._interrupted("") from None
                if runs_out:
                    return [await self.session.stopped(await self._run_out())]
                told_by_gdb = f"{told_by_gdb}\n{self._way_out}".strip() if unknown else told_by_gdb
            raise aftermath.failure or GdbError(told_by_gdb) from None
        except Stalled:
            await self._server.end_work()  # GDB was ended, and whoever asked for it moves the cursor by himself now
            raise
        else:
            if stub.halted or isinstance(aftermath.failure, Interrupted):
                raise self._interrupted(_up_to_first_end(answer.text))
        finally:
            stub.halted = False
            self._seen = stub.state
        text = answer.text
        if await self._follow_mode():
            # GDB has printed the instruction before it was told how to read it.
            text = _NEXT.sub(lambda _: shown.splitlines()[0], text) if (shown := await self._next()) else text
        if aftermath.failure:
            raise aftermath.failure
        if answer.stopped is None or self.in_what_if:
            return told + ([Output(text)] if text else [])
        return [*told, await self.session.moved(await self._stop(answer.stopped, aftermath), text)]

    async def _run_out(self) -> Stop:
        """Finish a function that GDB has no frame for, step by step: of a BIOS that takes minutes."""
        self._running_out = asyncio.current_task()
        try:
            async with self._replay.still():
                return await run_out(self._replay, await self._addresses())
        finally:
            self._running_out = None

    async def ask(self, command: str) -> dict[str, Any]:
        """The values that a command of GDB/MI gives; it may not move the guest.

        :raises GdbError: GDB refused it; the message is GDB's.
        """
        await self.refresh()
        return (await self._gdb.execute(command)).values

    async def _next(self) -> str:
        """The next instruction, as GDB shows it; empty where it cannot be read."""
        with contextlib.suppress(GdbError):
            return await self._gdb.console("x/i $pc")
        return ""

    async def _code_here(self, line: str) -> tuple[bool, bool]:
        """Whether GDB knows nothing of the code here, and whether ``line`` then is to finish it, going forward."""
        try:
            unknown = await self._knows_nothing_here()
            return unknown, unknown and self.canonical(line.strip()) in _FINISH and not await self.goes_backwards()
        except GdbError:
            if not self._server.stub.halted:
                raise
            return False, False

    async def _knows_nothing_here(self) -> bool:
        """Whether GDB knows nothing of the code at the cursor, and so has no frame but that."""
        if self.in_what_if:
            return False
        frame = await self.symbols.frame()
        return frame is None or (frame.text.startswith("#0 ") and not frame.function)

    @property
    def _way_out(self) -> str:
        return way_out(self._replay.recording.manifest.invocation.architecture, "finish")

    async def refresh(self) -> None:
        """Make GDB look at the guest anew, if that has changed without it."""
        if self._seen == self._server.stub.state:
            return
        self._server.stub.jumped_from(self._seen)
        self._seen = self._server.stub.state
        await self._follow_mode()
        await self._gdb.console("maintenance flush register-cache")
        await self._gdb.console("maintenance flush dcache")
        await self._renew_watchpoints()

    def interrupt(self) -> None:
        """Ctrl-C: end what GDB does, which may be a script of many movements; a GDB that does not react is ended."""
        if self._running_out:
            self._running_out.cancel()  # GDB has no part in it
            return
        self._server.stub.halted = True
        if self.moving:
            self._server.interrupt()
        if self._ending is None or self._ending.done():
            self._ending = asyncio.create_task(self._gdb.give_up(AT_ONCE_SECONDS))

    def _interrupted(self, text: str) -> Interrupted:
        """What to tell of a Ctrl-C, after the ``text`` that was printed before it."""
        # GDB 13.1 aborts where a Ctrl-C comes at a bad moment of a script's stop; one that is deaf we have ended.
        remark = "" if self.alive else " GDB did not survive it."
        return Interrupted(f"{text}\nInterrupted at {self._replay.position}.{remark}".strip())

    async def complete(self, line: str) -> list[str]:
        """The lines that GDB would complete ``line`` to; none where it cannot say."""
        with contextlib.suppress(GdbError, Stalled):
            return [str(match) for match in (await self._gdb.execute(f"-complete {quoted(line)}")).values["matches"]]
        return []

    async def _connect(self, symbols: Path | None) -> None:
        for line in _SETTINGS:
            await self._gdb.console(line)
        lines = await symbol_lines(self._replay, symbols)
        for line in lines:
            await self._gdb.console(line)
        if self._described:
            if any(line.startswith(FILE) for line in lines):  # what is added to it tells GDB of no architecture
                self._short = _OF_32_BITS in await self._gdb.console("show architecture")
            # The file may be for another mode than that in which QEMU describes the CPU.
            await self._gdb.console(f"set architecture {self._described}")
        await self._gdb.console(f"target remote {self._server.address}")
        await self._follow_mode()
        self.session.symbols, self.session.symbols_file = self.symbols, symbols
        names = [*await self.complete(""), *await self.complete("info ")]
        self._names = frozenset(names) | {"k", "r"}

    async def _follow_mode(self) -> bool:
        """Have GDB see the CPU in the mode that it is in, and read its code so; True if that is another one."""
        segment = await self._server.stub.code_segment()
        if segment is None or self._sees_as(segment.mode):
            return False
        await self._see_as(segment.mode)
        return True

    async def _see_enough_for(self, line: str) -> None:
        """Have GDB see the CPU as QEMU describes it if ``line`` needs words that the mode it sees does not have.

        Before a 64-bit kernel has begun GDB sees a CPU of 32 bits. It would set points at half their address, read a
        condition for registers that are none there, and compile it for some that mean something else later on.
        """
        whole = await self._whole()
        if whole is None or self._sees_as(whole):
            return
        word = (_WORD.match(line) or [""])[0]
        if self.canonical(word) in _LOOK:
            return
        if _SETS.match(line) or any(map(_is_far, await self._points())):
            await self._see_as(whole)

    async def _whole(self) -> CodeMode | None:
        """The mode in which GDB has all that the guest's program names: as QEMU describes the CPU.

        But where a 32-bit program is debugged on a CPU of 64 bits, that of the program: what its variables are in has
        other numbers there.
        """
        if not self._short:
            return self._described
        segment = await self._server.stub.code_segment()
        return self._described if segment is None or segment.mode is CodeMode.BITS64 else CodeMode.BITS32

    @asynccontextmanager
    async def _as_described(self) -> AsyncIterator[None]:
        """GDB sees all of the CPU inside (:meth:`_whole`), whatever mode it is in."""
        whole = await self._whole()
        if whole is None or self._sees_as(whole):
            yield
            return
        await self._see_as(whole)
        try:
            yield
        finally:
            await self._follow_mode()

    async def _see_as(self, mode: CodeMode) -> None:
        if self._sees_as(mode):
            return
        with contextlib.suppress(GdbError):  # the QEMU has gone, and GDB let go of us; what is asked next says so
            await self._gdb.console(f"maintenance packet QRrdbg.layout:{mode}")
        *tried, last = lines_to_see(mode)
        for line in tried:
            with contextlib.suppress(GdbError):
                await self._gdb.console(line)
        await self._gdb.console(last)

    def _sees_as(self, mode: CodeMode) -> bool:
        return mode == (self._server.stub.layout or self._described)

    def _one_line(self, line: str) -> str:
        if "\n" not in line:
            return translated(line)
        script = self._folder / "block.gdb"
        script.write_text(f"{line}\n")
        return f"source {script}"

    async def goes_backwards(self) -> bool:
        """True after ``set exec-direction reverse``, when GDB's commands go the other way."""
        return "reverse" in (await self._gdb.console("show exec-direction")).lower()

    async def has_points(self) -> bool:
        """True if a breakpoint or watchpoint of GDB's is enabled."""
        return bool(await self._points())

    async def _addresses(self) -> frozenset[int]:
        """Where GDB's breakpoints are, those of several places left out."""
        found = (point.get("addr", "") for point in await self._points())
        return frozenset(int(address, 16) for address in found if address.startswith("0x"))

    async def _points(self) -> list[dict[str, str]]:
        """GDB's breakpoints and watchpoints that are enabled, as MI tells of them."""
        table = (await self._gdb.execute("-break-list")).values["BreakpointTable"]["body"]
        return [point for point in table if point.get("enabled") == "y"]

    async def _renew_watchpoints(self) -> None:
        """Have GDB read the values of watched variables: it reports a hit only where it finds another one then."""
        for point in await self._points():
            if "watchpoint" in point["type"]:
                # One of a local variable may be out of its scope here; GDB deletes it when it finds that out.
                with contextlib.suppress(GdbError):
                    await self._gdb.execute(f"-break-enable {point['number']}")

    async def _stop(self, stopped: dict[str, Any], aftermath: Aftermath) -> Stop:
        """Why the guest stands where it does, in our terms; the numbers of points are GDB's."""
        replay = self._replay
        pc = await self._server.stub.window.pc()
        reason = _HITS.get(str(stopped.get("reason")))
        if reason is None:
            # GDB 13 gives no reason there.
            at_end = aftermath.reason in _ENDS and stopped.get("reason") in (None, "", "no-history")
            return Stop(aftermath.reason if at_end else StopReason.STEP, replay.position, pc)
        return Stop(reason, replay.position, pc, tuple(_hits(stopped, pc, aftermath, replay)))


def _is_far(point: dict[str, str]) -> bool:
    """Whether a point is only right where GDB sees 64-bit code, or may be: it has a condition, or watches."""
    watches = "watchpoint" in point["type"]
    return watches or "cond" in point or _FAR.fullmatch(point.get("addr", "")) is not None


def _up_to_first_end(text: str) -> str:
    """What GDB printed until it was told of a Ctrl-C; a script goes on, and is told so at each of its movements."""
    parts = text.split(_TOLD)
    return _TOLD.join(parts[:2]).strip()


def translated(line: str) -> str:
    """``line`` as GDB understands it: our way to watch bytes, ``watch *ADDRESS:LENGTH``, is not GDB's."""
    match = _OUR_WATCH.fullmatch(line.strip())
    if match is None:
        return line
    length = int(match["length"])
    kind = f"{_NUMBERS[length]} *" if length in _NUMBERS else f"unsigned char (*)[{length}]"
    return f"{match['verb']} *({kind})({match['address']})"


def _hits(stopped: dict[str, Any], pc: int, aftermath: Aftermath, replay: Replay) -> list[Hit]:
    if "bkptno" in stopped:
        return [Hit(replay.position, pc, Breakpoint(int(stopped["bkptno"]), pc))]
    number = next(int(stopped[key]["number"]) for key in _WATCHES if key in stopped)
    return [
        replace(hit, point=replace(hit.point, number=number, space=None), space=None)
        for hit in aftermath.hits
        if isinstance(hit.point, Watchpoint)
    ]
