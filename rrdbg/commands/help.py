"""The whole set of commands, and ``help`` made from it."""

from __future__ import annotations

from rrdbg.commands.bisect import BISECT
from rrdbg.commands.compare import COMPARE
from rrdbg.commands.events import EVENTS
from rrdbg.commands.examine import EXAMINE
from rrdbg.commands.inspect import INSPECT
from rrdbg.commands.linux import LINUX
from rrdbg.commands.occurrences import OCCURRENCES
from rrdbg.commands.origin import ORIGIN
from rrdbg.commands.places import PLACES
from rrdbg.commands.points import POINTS
from rrdbg.commands.qemu import QEMU
from rrdbg.commands.queries import QUERIES
from rrdbg.commands.registry import Category, Command, Registry, Takes
from rrdbg.commands.samples import SAMPLES
from rrdbg.commands.session import Session
from rrdbg.commands.tables import TABLES
from rrdbg.commands.travel import TRAVEL
from rrdbg.errors import UsageError
from rrdbg.model.results import HelpText, Message, Result

_COLUMN = 27

COMMANDS = Registry()
_PARTS = (
    TRAVEL, POINTS, EXAMINE, QUERIES, TABLES, SAMPLES, OCCURRENCES, ORIGIN, BISECT, COMPARE, LINUX, EVENTS, PLACES,
    INSPECT, QEMU,
)  # fmt: skip
for _part in _PARTS:
    COMMANDS.include(_part)


@COMMANDS.command(
    "help", Category.SESSION, "List the commands, or explain one.",
    arguments="[COMMAND]", aliases=("h",), takes=(Takes.COMMAND,), examples=("help", "help seek"),
)  # fmt: skip
async def _help(session: Session, text: str) -> Result:
    if text:
        command, _ = COMMANDS.match(text)
        return explain(command)
    lines = []
    for category in Category:
        listed = [command for command in COMMANDS.commands if command.category is category]
        lines += ["", f"{category}:", *(_listed(command, session) for command in listed)]
    return HelpText(
        "Commands may be abbreviated as long as they are unambiguous; an empty line repeats the last step.",
        [*lines, "", "'help COMMAND' explains one."],
    )


@COMMANDS.command(
    "apropos", Category.SESSION, "List the commands whose help has WORD in it.",
    arguments="WORD", takes=(Takes.TEXT,), examples=("apropos interrupt",),
)  # fmt: skip
async def _apropos(session: Session, text: str) -> Result:
    if not text:
        raise UsageError("'apropos' needs a word to look for.")
    found = [command for command in COMMANDS.commands if text.lower() in _whole_help(command).lower()]
    if not found:
        return Message(f"No command of rrdbg's has '{text}' in its help.")
    return HelpText(f"Commands about '{text}':", [_listed(command, session) for command in found])


def _whole_help(command: Command) -> str:
    explained = explain(command)
    return "\n".join([explained.heading, *explained.lines])


def explain(command: Command) -> HelpText:
    """The help of one command."""
    lines = [command.summary]
    if command.details:
        lines += ["", command.details]
    if command.in_gdb:
        lines += ["", "Where there is a GDB, its own command of this name is used."]
    if command.aliases:
        lines += ["", f"Short: {', '.join(command.aliases)}"]
    if command.examples:
        lines += ["", "Examples:", *(f"  {example}" for example in command.examples)]
    return HelpText(command.usage, lines)


def _listed(command: Command, session: Session) -> str:
    """A line of the list: the name, with what it takes if there is room, and what the command does."""
    gdbs = command.in_gdb and session.symbols is not None
    alias = next((alias for alias in command.aliases if " " not in alias), "")
    short = f" ({alias})" if alias else ""
    usage = command.name if gdbs or len(command.usage + short) > _COLUMN else command.usage
    return f"  {usage + short:<{_COLUMN}}   {command.summary}"
