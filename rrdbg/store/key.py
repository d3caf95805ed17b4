"""A secret of this user on this machine, by which he knows again what rrdbg wrote for him here."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from rrdbg.errors import HostError
from rrdbg.store.files import state_directory

_BYTES = 32
MARK = b',\n "mark": "'
"""What stands before the mark in a file of JSON."""


def mark(content: bytes) -> str:
    """A checksum of ``content`` that nobody else can make, in hex.

    :raises HostError: the secret can neither be read nor made.
    """
    return hashlib.blake2b(content, key=_key(), digest_size=32).hexdigest()


def with_mark(identity: str, content: bytes) -> bytes:
    """``content``, a JSON object without its last brace, with a mark of ours as its last member, and the brace.

    ``identity`` is the recording that it belongs to.

    :raises HostError: as :func:`mark`.
    """
    return content + MARK + mark(identity.encode() + content).encode() + b'"}\n'


def has_mark(identity: str, content: bytes) -> bool:
    """Whether :func:`with_mark` has made ``content``, here."""
    head, found, end = content.rpartition(MARK)
    try:
        return bool(found) and end == mark(identity.encode() + head).encode() + b'"}\n'
    except HostError:
        return False


def _key() -> bytes:
    path = state_directory() / "key"
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise HostError(f"Cannot read {path}: {error.strerror}.") from None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".key-{os.getpid()}")
        draft.unlink(missing_ok=True)
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as out:
            out.write(os.urandom(_BYTES))
        try:
            # The first of several that begin at once wins.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        return _read(path)
    except OSError as error:
        raise HostError.of(error, f"Cannot keep a key in {path}") from None


def _read(path: Path) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(file, "rb") as key:
        content = key.read(_BYTES + 1)
    if len(content) != _BYTES:
        raise HostError(f"{path} is damaged; delete it, and what was found in recordings so far is found again.")
    return content
