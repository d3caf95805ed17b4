"""What somebody may have meant who has mistyped a command."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_ALIKE = 0.7
"""How much of a word must be right: 'sek' and 'braek' are mistyped commands, 'bt' is none."""


def meant(word: str, names: Iterable[str]) -> str:
    """The question which of ``names`` was meant by ``word``; empty if it is like none.

    >>> meant("sek", ["seek", "step"]), meant("bt", ["seek", "step"])
    ("did you mean 'seek'?", '')
    """
    near = get_close_matches(word, list(names), n=2, cutoff=_ALIKE)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""
