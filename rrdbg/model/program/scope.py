"""In which address spaces, and for whom, a command's subject is meant, as a word before or behind it."""

from __future__ import annotations

import re

HERE, EVERYWHERE, PHYSICAL, BEHIND = "--here", "--everywhere", "--physical", "--behind"
TASK = "--task"

_WHO = r'--task\s+(?:"(?P<quoted>[^"]*)"|(?P<plain>[^\s"]+))'
_TASK_BEFORE = re.compile(rf"{_WHO}(?P<rest>\s.*|)", re.DOTALL)
_TASK_BEHIND = re.compile(
    rf"(?P<rest>.*?)(?<!\S){_WHO}(?P<behind>(?:\s+(?:from|to|--every|--syscall)\s+\S+|\s+--\w+)*)", re.DOTALL
)


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
    return text.split()[-1:] in ([HERE], [EVERYWHERE], [PHYSICAL], [BEHIND]) or bool(read_task(text)[1])


def read_task(text: str) -> tuple[str, str]:
    """``text`` without the ``--task NAME`` that it may begin or end with, and the name; empty if there is none.

    A name with a blank is quoted. Behind it may stand what parts a stretch from the rest, and other such words.
    """
    match = _TASK_BEFORE.fullmatch(text.strip()) or _TASK_BEHIND.fullmatch(text.strip())
    if match is None:
        return text, ""
    behind = match.groupdict().get("behind") or ""
    return f"{match['rest'].strip()}{behind}".strip(), match["quoted"] or match["plain"] or ""


def task_words(name: str) -> str:
    """The words that :func:`read_task` reads ``name`` from."""
    return f'{TASK} "{name}"' if name else ""
