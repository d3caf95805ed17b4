"""Write what is made from the registry, or check that it is up to date (``--check``).

That is docs/reference/commands.md, and commands.json for the GDB extension, which cannot import the registry.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rrdbg.commands.declarations import declarations
from rrdbg.commands.help import COMMANDS
from rrdbg.commands.registry import Category

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "commands.md"
DATA = ROOT / "rrdbg" / "frontends" / "gdb" / "commands.json"


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


def data() -> str:
    """The registry as the GDB extension reads it."""
    return json.dumps(declarations(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path, content in ((PAGE, page()), (DATA, data())):
        if "--check" not in sys.argv:
            path.write_text(content)
        elif not path.is_file() or path.read_text() != content:
            sys.exit(f"{path.relative_to(ROOT)} is out of date; run: .venv/bin/python scripts/reference.py")
