"""The whole set of commands, and ``help`` made from it."""

from __future__ import annotations

from rrdbg.commands.events import EVENTS
from rrdbg.commands.examine import EXAMINE
from rrdbg.commands.inspect import INSPECT
from rrdbg.commands.points import POINTS
from rrdbg.commands.registry import Category, Command, Registry, Takes
from rrdbg.commands.session import Session
from rrdbg.commands.travel import TRAVEL
from rrdbg.model.results import HelpText, Result

COMMANDS = Registry()
for _part in (TRAVEL, POINTS, EXAMINE, EVENTS, INSPECT):
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
        lines += ["", f"{category}:", *(f"  {_short(command):<34} {command.summary}" for command in listed)]
    return HelpText(
        "Commands may be abbreviated as long as they are unambiguous; an empty line repeats the last step.",
        [*lines, "", "'help COMMAND' explains one."],
    )


def explain(command: Command) -> HelpText:
    """The help of one command."""
    lines = [command.summary]
    if command.details:
        lines += ["", command.details]
    if command.aliases:
        lines += ["", f"Short: {', '.join(command.aliases)}"]
    if command.examples:
        lines += ["", "Examples:", *(f"  {example}" for example in command.examples)]
    return HelpText(command.usage, lines)


def _short(command: Command) -> str:
    short = next((alias for alias in command.aliases if " " not in alias), "")
    return f"{command.usage}" + (f" ({short})" if short else "")
