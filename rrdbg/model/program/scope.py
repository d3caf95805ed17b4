"""In which address spaces a command's subject is meant, as a word before or behind it."""

from __future__ import annotations

HERE, EVERYWHERE = "--here", "--everywhere"


def read_scope(text: str, word: str) -> tuple[str, bool]:
    """``text`` without the ``word`` (``--here`` or ``--everywhere``) that it may begin or end with, and whether it did.

    An expression with ``--everywhere`` somewhere inside is left as it is.
    """
    words = text.split()
    if word in words[:1]:
        return text.strip().removeprefix(word).strip(), True
    if word in words[-1:]:
        return text.strip().removesuffix(word).strip(), True
    return text, False
