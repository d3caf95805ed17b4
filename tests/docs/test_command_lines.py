"""Each command line in the documentation is one that the parser takes, and each line of the shell one that it knows.

They are parsed and not run, so that this holds for all pages, also where what they name is somebody else's; those of
the README, the tutorial and the how-tos that can be run are run by test_pages.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from rrdbg.commands.help import COMMANDS
from rrdbg.frontends.cli.main import SUBCOMMANDS, parser_for, split

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
PLACEHOLDERS = re.compile(r"\.\.\.|\[[A-Z-]|[|]\s*[A-Z]+\b")
"""A line that says what may be written, and is none that anybody writes."""

INLINE = re.compile(r"(?<!`)`(rrdbg [a-z-]+ [^`]+)`(?!`)")


def code(page: Path) -> Iterator[str]:
    """The lines of code of a page, with those that go on in the next one joined."""
    text, fenced, line = page.read_text(), False, ""
    for raw in text.splitlines():
        if raw.startswith("```"):
            fenced = not fenced
            continue
        if not (fenced or raw.startswith("    ")):
            continue
        line += raw.strip()
        if line.endswith("\\"):
            line = line[:-1] + " "
            continue
        yield line
        line = ""


def command_lines(page: Path) -> list[list[str]]:
    """The words of each ``rrdbg ...`` on a page."""
    found = []
    # Some are called in GDB, and have the same names.
    own = SUBCOMMANDS.keys() - {command.name for command in COMMANDS.commands}
    inline = [line for line in INLINE.findall(page.read_text()) if line.split()[1] in own]
    for line in (*code(page), *inline):
        line = line.removeprefix("$ ").removeprefix("# ")
        if not line.startswith("rrdbg ") or PLACEHOLDERS.search(line):
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|><;&")
        lexer.whitespace_split = True
        words = []
        for word in lexer:
            if set(word) <= set("|><;&"):
                break
            words.append(word)
        found.append(words[1:])
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_parser_takes_each(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in command_lines(page):
        ours, theirs = split(words)
        arguments = parsed(ours)
        said = capsys.readouterr().err
        # In a sentence stands what matters there, and not all that is needed.
        assert arguments or not said or "arguments are required" in said, f"rrdbg {shlex.join(words)}: {said}"
        assert arguments is None or arguments.passes_on or not theirs, words


def parsed(words: list[str]) -> argparse.Namespace | None:
    """What the parser makes of them; None if it has ended with a message, which may be the help."""
    with contextlib.suppress(SystemExit):
        return parser_for(words).parse_args(words)
    return None


def test_there_are_many() -> None:
    assert sum(len(command_lines(page)) for page in PAGES) > 70


SHELL = re.compile(r"^\d+% [\d,.]+(?::\d+)?> (?P<line>.+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_shell_knows_each(page: Path) -> None:
    """Those that rrdbg does not know are GDB's."""
    gdbs = {
        "bt",
        "print",
        "p",
        "list",
        "finish",
        "x",
        "info",
        "disassemble",
        "up",
        "down",
        "step",
        "next",
        "ptype",
        "frame",
        "n",
        "s",
        "reverse-next",
    }
    for line in code(page):
        if found := SHELL.match(line):
            words = found["line"].split()
            assert COMMANDS.exact(found["line"]) or words[0].partition("/")[0] in gdbs, found["line"]
