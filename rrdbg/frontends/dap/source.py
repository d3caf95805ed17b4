"""Lines of source files, as an editor names them."""

from __future__ import annotations

import re

from rrdbg.errors import UsageError

_PLAIN = re.compile(r"[\w./+~@-]+")


def source_line(path: str, line: int) -> str:
    """The line of a file as GDB takes it: a path with a space or a comma in it stands in quotes.

    :raises UsageError: GDB cannot be told of a file of that name.
    """
    if _PLAIN.fullmatch(path):
        return f"{path}:{line}"
    if '"' in path or not path.isprintable():
        raise UsageError(f"No file whose name has a quote or a control character in it can be named to GDB: {path!r}.")
    return f'"{path}":{line}'
