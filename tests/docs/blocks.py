"""The blocks of code of a page, and what is to be done with each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

_MARK = re.compile(r"\s*<!-- (?P<kind>not run|long): (?P<reason>.+?) -->$")
_STATUS = re.compile(r"\s*<!-- exit status (?P<status>\d+) -->$")
_FENCE = re.compile(r"(?P<indent> *)```(?P<language>\w*)$")
_PROMPT = re.compile(r"(?P<prompt>\$|\(rrdbg\)|(?:\d+% [\d,]+ )?\(gdb\)|\d+% [\d,]+(?::\d+)?>|>>>)(?: (?P<typed>.*))?$")
_REMARK = re.compile(r"(?:^|\s{2,})# .*$")
"""What is said to the reader behind a command; one space before the sign is the command's own."""

_PROGRAMS = ("rrdbg ", "make ", "pip ", "gdb ", "qemu-", "guest=", "MACHINE=", ".venv/")


class Prompt(Enum):
    """Who is typed to."""

    HOST = "$"
    SHELL = "(rrdbg)"
    GDB = "(gdb)"
    PYTHON = ">>>"

    @classmethod
    def of(cls, text: str) -> Prompt:
        """Whose prompt ``text`` is; a position and ``>`` are the shell's."""
        return next((prompt for prompt in cls if text.endswith(prompt.value)), cls.SHELL)


@dataclass(frozen=True)
class Typed:
    """A line that is typed, and the lines that a page shows below it."""

    prompt: Prompt
    shown_prompt: str
    text: str
    """Empty where a page shows a prompt and nothing typed."""
    output: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """A block of code; ``number`` is the line of its page that it begins in."""

    page: Path
    number: int
    language: str
    lines: tuple[str, ...]
    not_run: str | None
    """Why no test runs it."""
    long: str | None
    """Why only the tests do that run by ``make test-matrix``."""
    status: int
    """The exit status that its last command has."""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.number}"

    @property
    def typed(self) -> tuple[Typed, ...]:
        """What is typed in it, in order; empty where it shows a file, or what a guest has printed.

        In a block without prompts whose first line calls a program all lines are typed, and none is output.
        """
        return tuple(self._prompted() if any(map(_PROMPT.match, self.lines)) else self._bare())

    @property
    def said(self) -> tuple[str, ...]:
        """What a guest has printed before anything is typed."""
        if self.language or self.lines[0].startswith(_PROGRAMS):
            return ()
        return tuple(itertools.takewhile(lambda line: not _PROMPT.match(line), self.lines))

    def _bare(self) -> Iterator[Typed]:
        if not self.said and not self.language:
            yield from (Typed(Prompt.HOST, "$", text, ()) for text in _joined(self.lines))

    def _prompted(self) -> Iterator[Typed]:
        lines = list(self.lines[len(self.said) :])
        while lines:
            line = lines.pop(0)
            if not (found := _PROMPT.match(line)):
                # A command of the host's beside those of a GDB.
                yield Typed(Prompt.HOST, "$", _REMARK.sub("", line), ())
                continue
            typed = found["typed"] or ""
            while typed.endswith("\\"):
                typed += f"\n{lines.pop(0)}"
            output = []
            while lines and not _PROMPT.match(lines[0]):
                output.append(lines.pop(0))
            text = _REMARK.sub("", typed)
            if text or output:
                yield Typed(Prompt.of(found["prompt"]), found["prompt"], text, tuple(output))


def _joined(lines: tuple[str, ...]) -> Iterator[str]:
    """The commands in ``lines``, those that go on in the next line as one."""
    text = ""
    for line in lines:
        text += line
        if line.endswith("\\") or text.count('"') % 2:
            text += "\n"
            continue
        if text := _REMARK.sub("", text).strip():
            yield text
        text = ""


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of ``page``, fenced and indented ones, in order."""
    lines = page.read_text().splitlines()
    number, base = 0, 0
    marks: dict[str, str] = {}
    while number < len(lines):
        line = lines[number]
        fence = _FENCE.match(line)
        if line and not line.startswith(" "):
            base = 0
        if mark := _MARK.match(line):
            marks[mark["kind"]] = mark["reason"]
        elif mark := _STATUS.match(line):
            marks["status"] = mark["status"]
        elif fence or (line.startswith(" " * (base + 4)) and not lines[number - 1].strip()):
            if fence:
                begin = number + 1
                end = next(at for at in range(begin, len(lines)) if lines[at].strip() == "```")
            else:
                begin = end = number
                while end < len(lines) and (not lines[end].strip() or lines[end].startswith(" " * (base + 4))):
                    end += 1
            yield _block(page, begin, fence["language"] if fence else "", lines[begin:end], marks)
            number = end if fence else end - 1
            marks = {}
        elif line.strip():
            marks = {}
            # What belongs to an entry of a list begins where the entry's own words do.
            if entry := re.match(r" *(?:\d+\.|[-*]) +", line):
                base = len(entry[0])
        number += 1


def _block(page: Path, at: int, language: str, lines: list[str], marks: Mapping[str, str]) -> Block:
    filled = [line for line in lines if line.strip()]
    indent = min(len(line) - len(line.lstrip(" ")) for line in filled)
    return Block(
        page, at + 1, language, tuple(line[indent:].rstrip() for line in filled),
        marks.get("not run"), marks.get("long"), int(marks.get("status", 0)),
    )  # fmt: skip
