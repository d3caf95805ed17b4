"""The registry: commands as declared data, and how a line is matched to one of them.

A command's name may be several words (``info registers``). Each word may be abbreviated as long as it is
unambiguous; where GDB has a fixed short form (``si``, ``c``, ``b``, ``i r``) it is listed and wins.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum

from rrdbg.commands.session import Session
from rrdbg.errors import UsageError
from rrdbg.model.mistyped import meant
from rrdbg.model.results import Result

Handler = Callable[[Session, str], Awaitable[Result | Sequence[Result] | None] | AsyncGenerator[Result, None]]
"""Does what a command says: it answers at its end, or as it goes on."""


class Takes(StrEnum):
    """What an argument is, so that front ends can complete it and translate what only GDB understands."""

    POSITION = "position"
    BOOKMARK = "bookmark"
    EVENT_KIND = "kind of event"
    COMMAND = "command"
    RECORDING = "recording"
    REGISTER = "register"
    EXPRESSION = "expression"
    CONDITION = "condition"
    LOCATION = "location"
    FUNCTION = "function"
    NUMBER = "number"
    TEXT = "text"


class Category(StrEnum):
    """The sections of ``help``, in their order."""

    RUNNING = "Moving along the timeline"
    POINTS = "Breakpoints and watchpoints"
    DATA = "Looking at the guest"
    QUERIES = "Asking about all of time"
    EVENTS = "Events and the console"
    PLACES = "Places and snapshots"
    SESSION = "The session"


@dataclass(frozen=True, slots=True)
class Command:
    """One command: what it is called, what it takes, what it does.

    ``repeats`` tells whether an empty line runs it again. ``takes`` is what its arguments are in their order, the last
    one standing for all that follow; ``words`` may be written instead. ``in_gdb`` tells that GDB has a command of this
    name, which is used where a GDB is at hand.
    """

    name: str
    category: Category
    arguments: str
    summary: str
    details: str
    examples: tuple[str, ...]
    aliases: tuple[str, ...]
    repeats: bool
    run: Handler
    takes: tuple[Takes, ...] = ()
    words: tuple[str, ...] = ()
    in_gdb: bool = False

    @property
    def usage(self) -> str:
        """The name and its arguments."""
        return f"{self.name} {self.arguments}".rstrip()

    async def answers(self, session: Session, text: str) -> AsyncGenerator[Result, None]:
        """Run it with the arguments ``text`` and yield what it answers.

        :raises RrdbgError: whatever it says went wrong.
        """
        work = self.run(session, text)
        if isinstance(work, AsyncGenerator):
            async with aclosing(work):
                async for result in work:
                    yield result
            return
        answer = await work
        if answer is not None:
            for result in answer if isinstance(answer, Sequence) else (answer,):
                yield result


_QEMUS = frozenset(
    {
        "info", "gva2gpa", "xp", "savevm", "loadvm", "delvm", "system_reset", "system_powerdown", "stop",
        "cont", "device_add", "device_del", "object_add", "drive_add", "netdev_add", "chardev-add", "hostfwd_add",
        "migrate", "memsave", "pmemsave", "dump-guest-memory", "screendump", "sendkey", "mouse_move",
        "eject", "change", "commit",
        "gdbserver", "logfile", "nmi", "mce", "set_link", "qom-set", "pcie_aer_inject_error", "wavcapture",
    }
)  # fmt: skip
"""Commands of QEMU's monitor: whoever writes one is told by 'qemu' what becomes of it."""

_SHORT = 2
"""Two letters are like anything."""


class Registry:
    """A set of commands."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}
        self._aliases: dict[str, Command] = {}

    def command(
        self,
        name: str,
        category: Category,
        summary: str,
        *,
        arguments: str = "",
        details: str = "",
        examples: tuple[str, ...] = (),
        aliases: tuple[str, ...] = (),
        repeats: bool = False,
        takes: tuple[Takes, ...] = (),
        words: tuple[str, ...] = (),
        in_gdb: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Declare the decorated handler as a command."""

        def declare(run: Handler) -> Handler:
            command = Command(
                name, category, arguments, summary, details, examples, aliases, repeats, run, takes, words, in_gdb
            )
            self._commands[name] = command
            for alias in aliases:
                self._aliases[alias] = command
            return run

        return declare

    def include(self, other: Registry) -> None:
        """Add all commands of another registry."""
        self._commands |= other._commands
        self._aliases |= other._aliases

    @property
    def commands(self) -> tuple[Command, ...]:
        """All commands in the order of their declaration."""
        return tuple(self._commands.values())

    def match(self, line: str) -> tuple[Command, str]:
        """The command that ``line`` calls, and the rest of the line.

        :raises UsageError: there is none of that name, or several.
        """
        line = split_format(line)
        words = line.split()
        if not words:
            raise UsageError("A command is missing; 'help' lists them.")
        for count in (2, 1):
            if len(words) >= count and (found := self._find(words[:count])):
                return found, _rest(line, count)
        candidates = self._candidates(words[:1])
        if candidates and len(words) == 1 and all(" " in name for name in candidates):
            raise UsageError(f"'{words[0]}' needs a subject: {', '.join(sorted(candidates))}.")
        if candidates:
            raise UsageError(f"'{' '.join(words[:2])}' is ambiguous or unknown: {', '.join(sorted(candidates))}.")
        raise UsageError(f"There is no command '{words[0]}'; {self._meant(words)}'help' lists the commands.")

    def _meant(self, words: Sequence[str]) -> str:
        """What somebody may have mistyped: the question, or nothing."""
        names = {*self._commands, *(alias for alias in self._aliases if len(alias) > _SHORT)}
        for count in (2, 1):
            if asked := meant(" ".join(words[:count]), names):
                return f"{asked} "
        return ""

    async def run(self, session: Session, line: str) -> AsyncGenerator[Result, None]:
        """Run one line and yield what it answers.

        :raises RrdbgError: whatever the command says went wrong.
        """
        command, rest = self.match(line)
        session.replay.catch_up()
        async with aclosing(command.answers(session, rest)) as answers:
            async for answer in answers:
                yield answer

    def monitored(self, line: str) -> str:
        """``line``, written behind GDB's ``monitor``, as a command of ours: what QEMU's own would take is for QEMU.

        So are the registers: those that we list a client has itself, and extensions look for QEMU's system registers.
        """
        words = line.split()
        if not words or words[0] not in _QEMUS:
            return line
        if words[:2] == ["info", "registers"]:
            return f"qemu {line}"
        try:
            self.match(line)
        except UsageError:
            return f"qemu {line}"
        return line

    def exact(self, line: str) -> tuple[Command, str] | None:
        """The command that ``line`` calls by its whole name or a short form of it, and the rest of the line."""
        line = split_format(line)
        words = line.split()
        for count in (2, 1):
            name = " ".join(words[:count])
            if len(words) >= count and (found := self._aliases.get(name) or self._commands.get(name)):
                return found, _rest(line, count)
        return None

    def _find(self, words: Sequence[str]) -> Command | None:
        text = " ".join(words)
        if text in self._aliases:
            return self._aliases[text]
        if text in self._commands:
            return self._commands[text]
        candidates = [name for name in self._candidates(words) if len(name.split()) == len(words)]
        return self._commands[candidates[0]] if len(candidates) == 1 else None

    def _candidates(self, words: Sequence[str]) -> list[str]:
        return [
            name
            for name in self._commands
            if len(parts := name.split()) >= len(words)
            and all(part.startswith(word) for part, word in zip(parts, words, strict=False))
        ]


def _rest(line: str, count: int) -> str:
    return (line.split(None, count) + [""] * count)[count].strip()


def split_format(line: str) -> str:
    """Part a format from its command's name: ``x/4xg ADDR`` is ``x /4xg ADDR``."""
    head, space, rest = line.strip().partition(" ")
    name, slash, form = head.partition("/")
    return f"{name} /{form}{space}{rest}" if slash and name else line.strip()
