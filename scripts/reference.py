"""Write docs/reference/commands.md from the registry, or check that it is up to date (``--check``)."""

from __future__ import annotations

import sys
from pathlib import Path

from rrdbg.commands.help import COMMANDS
from rrdbg.commands.registry import Category

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "commands.md"


def page() -> str:
    """The whole page."""
    lines = ["# Commands", "", "Made from the registry by `scripts/reference.py`; do not edit.", ""]
    for category in Category:
        lines += [f"## {category}", ""]
        for command in (command for command in COMMANDS.commands if command.category is category):
            lines += [f"### `{command.usage}`", "", command.summary, ""]
            if command.details:
                lines += [command.details, ""]
            if command.aliases:
                lines += ["Short: " + ", ".join(f"`{alias}`" for alias in command.aliases), ""]
            lines += ["Examples: " + ", ".join(f"`{example}`" for example in command.examples), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        sys.exit("docs/reference/commands.md is out of date; run: .venv/bin/python scripts/reference.py")
