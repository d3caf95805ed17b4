"""Commands of several lines, such as ``define`` and ``python``, which end with a line ``end``."""

from __future__ import annotations

_OPENING = ("define", "document", "commands", "while", "if", "while-stepping", "stepping", "ws")
_BARE = ("python", "py", "guile", "gu")
"""These are blocks only without anything behind them."""

_LITERAL = ("python", "py", "guile", "gu", "document")
"""Inside these only ``end`` means something."""


class Block:
    """Collects lines until a command is whole."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._open: list[str] = []

    @property
    def begun(self) -> bool:
        """True while lines of a command are missing."""
        return bool(self._open)

    def feed(self, line: str) -> str | None:
        """Add a line; the whole command if that was its last one."""
        self._lines.append(line)
        word, _, rest = line.strip().partition(" ")
        if self._open and line.strip() == "end":
            self._open.pop()
        elif not (self._open and self._open[-1] in _LITERAL) and (
            word in _OPENING or (word in _BARE and not rest.strip())
        ):
            self._open.append(word)
        if self._open:
            return None
        whole = "\n".join(self._lines)
        self._lines.clear()
        return whole

    def drop(self) -> None:
        """Forget what was begun."""
        self._lines.clear()
        self._open.clear()
