"""What an examination found: one sentence each, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters."""

    GOOD = "good"
    """As it should be."""
    NOTE = "note"
    """Worth knowing; recording and travelling work."""
    WRONG = "wrong"
    """Something does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: ``topic`` in a word or two, ``what`` was found, and the ``remedy`` if it needs one.

    Both are whole sentences.
    """

    level: Level
    topic: str
    what: str
    remedy: str = ""


def good(topic: str, what: str) -> Finding:
    """A finding that all is well."""
    return Finding(Level.GOOD, topic, what)


def note(topic: str, what: str, remedy: str = "") -> Finding:
    """A finding worth knowing."""
    return Finding(Level.NOTE, topic, what, remedy)


def wrong(topic: str, what: str, remedy: str) -> Finding:
    """A finding that something does not work; there is always something to do about it."""
    return Finding(Level.WRONG, topic, what, remedy)


def fit(findings: Iterable[Finding]) -> bool:
    """Whether nothing is wrong."""
    return all(finding.level is not Level.WRONG for finding in findings)
