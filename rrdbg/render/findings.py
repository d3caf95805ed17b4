"""Findings as text for people, and as JSON."""

from __future__ import annotations

import dataclasses
import json
import shlex
import textwrap
from collections.abc import Sequence

from rrdbg.model.machine.findings import Finding, Level, fit
from rrdbg.model.shown import shown

_MARKS = {Level.GOOD: "ok", Level.NOTE: "note", Level.WRONG: "WRONG"}
_MARK_WIDTH = 7
_TOPIC_WIDTH = 17
_NARROWEST = 40


def findings_text(findings: Sequence[Finding], command: Sequence[str] | None, width: int, *, tried: bool) -> str:
    """Each finding with its remedy, then the sum of them, and the ``command`` that does, if one is asked for.

    ``tried`` tells that the command was.
    """
    lines = [line for finding in findings for line in _lines(finding, width)]
    wrong = sum(finding.level is Level.WRONG for finding in findings)
    lines.append("")
    lines.append(f"{wrong} thing{'s are' if wrong > 1 else ' is'} wrong." if wrong else "Nothing is wrong.")
    if command is not None:
        can = ("This can be recorded: " if wrong else "Record it with: ") if tried else "Not tried: "
        lines.append(can + shlex.join(command))
    return shown("\n".join(lines))


def findings_json(findings: Sequence[Finding], command: Sequence[str] | None, *, tried: bool) -> str:
    """The same as one line of JSON."""
    content = {
        "kind": "examination",
        "fit": fit(findings),
        "findings": [dataclasses.asdict(finding) for finding in findings],
        "command": None if command is None else list(command),
        "tried": tried,
    }
    return json.dumps(content)


def _lines(finding: Finding, width: int) -> list[str]:
    head = f"{_MARKS[finding.level]:<{_MARK_WIDTH}}{finding.topic:<{_TOPIC_WIDTH}}"
    blank = " " * len(head)
    texts = [finding.what, *([f"-> {finding.remedy}"] if finding.remedy else [])]
    room = max(width - len(head), _NARROWEST)
    wrapped = [
        line for text in texts for line in textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    ]
    return [head + wrapped[0], *(blank + line for line in wrapped[1:])]
