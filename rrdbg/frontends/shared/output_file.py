"""Where a command's output goes: to standard output, or to a file that was not there before."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rrdbg.errors import HostError, UsageError


def create(path: Path, content: bytes) -> None:
    """Write the new file ``path``.

    :raises UsageError: there is such a file.
    :raises HostError: it cannot be written.
    """
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise UsageError(f"{path} is there already; name another file.") from None
    except OSError as error:
        raise HostError.of(error, f"Cannot write {path}") from None


@contextmanager
def output_to(name: str | None) -> Iterator[TextIO]:
    """Standard output, or the new file ``name``, which is removed again if it does not become whole.

    :raises UsageError: there is such a file.
    :raises HostError: it cannot be written.
    """
    if name is None:
        yield sys.stdout
        return
    path = Path(name)
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError:
        raise UsageError(f"{path} is there already; name another file.") from None
    except OSError as error:
        raise HostError.of(error, f"Cannot write {path}") from None
    try:
        with file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise
