"""What a client writes, made sure to be no more than it is taken for.

A client is a program that reads what guests print, and may do what a guest's text tells it; a page can be told by
another page. Expressions and locations go to GDB, which has a function that runs programs of the host, and takes a new
line for a new command.
"""

from __future__ import annotations

import re

from rrdbg.errors import UsageError

_LONGEST = 1000
_FUNCTION = re.compile(r"\$(_\w+)")
_HARMLESS = frozenset(
    {"_streq", "_strlen", "_memeq", "_regex", "_as_string", "_isvoid", "_any_caller_is", "_any_caller_matches",
     "_caller_is", "_caller_matches", "_cimag", "_creal"}
)  # fmt: skip
"""Functions of GDB's that only compute."""


def checked(text: str, what: str = "expression") -> str:
    """``text`` as an expression, location or format that GDB may be given.

    :raises UsageError: it is empty or too long, has several lines, or calls a function that does more than compute.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST:
        raise UsageError(f"The {what} must have 1 to {_LONGEST:,} characters, not {len(text):,}.")
    if not text.isprintable():
        raise UsageError(f"The {what} {text!r} has characters that cannot be printed; write it on one line.")
    for match in _FUNCTION.finditer(text):
        if match[1] not in _HARMLESS:
            raise UsageError(f"${match[1]} cannot be used here: of GDB's own functions only those are that compute.")
    return text
