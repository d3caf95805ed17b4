"""What is typed to a guest of a hunt, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """Once the guest has printed ``prompt``, ``text`` and return are typed."""

    prompt: bytes
    text: bytes


class Dialogue:
    """Several :class:`Keys`, one after another: a prompt counts only behind the one before.

    >>> dialogue = Dialogue([Keys(b"login:", b"root"), Keys(b"#", b"ls"), Keys(b"#", b"exit")])
    >>> dialogue.after(b"# log"), dialogue.after(b"in: "), dialogue.after(b"# #")
    ([], [b'root'], [b'ls', b'exit'])
    """

    def __init__(self, keys: Sequence[Keys]) -> None:
        self._left = list(keys)
        self._seen = b""

    def after(self, printed: bytes) -> list[bytes]:
        """What is to be typed now that ``printed`` has come, too, without the returns."""
        self._seen += printed
        due = []
        while self._left and (place := self._seen.find(self._left[0].prompt)) >= 0:
            keys = self._left.pop(0)
            self._seen = self._seen[place + len(keys.prompt) :]
            due.append(keys.text)
        kept = len(self._left[0].prompt) - 1 if self._left else 0
        self._seen = self._seen[len(self._seen) - kept :] if kept < len(self._seen) else self._seen
        return due
