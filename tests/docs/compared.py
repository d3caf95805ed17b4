"""Compares what a page shows with what was printed, where numbers differ from run to run.

A position of the page stands for one of this run: which one is learnt where it is shown first, and must be the same
wherever the page shows it again, also in what is typed. Times, sizes and shares are not compared. ``...`` stands for
anything, alone in a line for any lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_POSITION = r"\d{1,3}(?:,\d{3})+(?::\d+)?"
_PARTS = re.compile(
    rf"""
    (?P<any>\s*\.\.\.)
    | (?P<time>(?:\d{{4}}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d(?:\.\d+)?)
    | (?P<measure>(?<![\w.,])\d[\d,]*(?:\.\d+)?[ ](?:ms|s|[kMG]i?B|B|probes|snapshots)\b)
    | (?P<share>(?<![\w.,])\d+(?:\.\d+)?%)
    | (?P<position>(?<![\w.,]){_POSITION}(?![\w,]))
    | (?P<space>\s+)
    | (?P<literal>.)
    """,
    re.VERBOSE,
)
_AS = {
    "any": r".*",
    "time": r"(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d(?:\.\d+)?",
    "measure": r"\d[\d,]*(?:\.\d+)? (?:µs|ms|s|[kMG]i?B|B|probes?|snapshots?)",
    "share": r"\d+(?:\.\d+)?%",
    "position": rf"({_POSITION}|\d+(?::\d+)?)",
    "space": r"\s+",
}
_ANY_LINES = "..."


class Numbers:
    """Which of this run's positions those of a page stand for."""

    def __init__(self) -> None:
        self._here: dict[str, str] = {}

    def typed(self, text: str) -> str:
        """``text`` with this run's positions in the place of the page's, as far as they are known."""
        return re.sub(rf"(?<![\w.,]){_POSITION}(?![\w,])", lambda found: self._here.get(found[0], found[0]), text)

    def same(self, shown: Sequence[str], printed: Sequence[str]) -> bool:
        """Whether the lines ``printed`` are those ``shown``; if they are, their positions are known from now on."""
        learnt = _match(_filled(shown), _filled(printed), self._here)
        self._here = learnt if learnt is not None else self._here
        return learnt is not None


def _filled(lines: Sequence[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip()]


def _match(shown: list[str], printed: list[str], known: dict[str, str]) -> dict[str, str] | None:
    """What is known of positions when ``printed`` is ``shown``; None if it is something else."""
    if not shown:
        return known if not printed else None
    first, rest = shown[0], shown[1:]
    if first == _ANY_LINES:
        later = (_match(rest, printed[skipped:], known) for skipped in range(len(printed) + 1))
        return next((learnt for learnt in later if learnt is not None), None)
    if not printed or (learnt := _match_line(first, printed[0], known)) is None:
        return None
    return _match(rest, printed[1:], learnt)


def _match_line(shown: str, printed: str, known: dict[str, str]) -> dict[str, str] | None:
    parts = [(str(part.lastgroup), part[0]) for part in _PARTS.finditer(shown)]
    pattern = "".join(_AS.get(kind) or re.escape(text) for kind, text in parts)
    if not (found := re.fullmatch(pattern, printed)):
        return None
    learnt = dict(known)
    positions = [text for kind, text in parts if kind == "position"]
    for page, here in zip(positions, found.groups(), strict=True):
        if learnt.setdefault(page, here) != here:
            return None
    return learnt
