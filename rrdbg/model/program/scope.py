"""In which address spaces a command's subject is meant, as a word before or behind it."""

from __future__ import annotations

HERE, EVERYWHERE, PHYSICAL, BEHIND = "--here", "--everywhere", "--physical", "--behind"


def read_scope(text: str, word: str) -> tuple[str, bool]:
    """``text`` without the ``word`` that it may begin or end with, and whether it did.

    The words are ``--here``, ``--everywhere``, ``--physical`` and ``--behind``. An expression with one inside is left
    as it is.
    """
    words = text.split()
    if word in words[:1]:
        return text.strip().removeprefix(word).strip(), True
    if word in words[-1:]:
        return text.strip().removesuffix(word).strip(), True
    return text, False


def has_scope(text: str) -> bool:
    """True if ``text`` ends with such a word."""
    return text.split()[-1:] in ([HERE], [EVERYWHERE], [PHYSICAL], [BEHIND])
