"""``seal.json``: which of a recording's files rrdbg itself has written for this user, on this machine.

The manifest's checksums say that a recording is what was recorded. What was *computed* from it later, snapshots, hits
and costs, has none, and an archive may hold other ones: they would be answers that nobody here has found. So they count
only if they are under this seal, which is marked by a key that lies outside of every recording
(:mod:`rrdbg.store.key`).

A file is known again by what the file system says about it, which nobody changes by accident: 0.02 ms each. Where that
differs, as in a copy, its content decides, and the seal is then made anew. So the recorded files, too, are read once
and not at each opening. The pages of RAM, the largest file, are
not summed: each has its own checksum in ``pages.sum``.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from rrdbg.errors import HostError, RecordingError
from rrdbg.model.document import Document, DocumentError
from rrdbg.store.files import checksum_inside, write_atomically
from rrdbg.store.key import mark
from rrdbg.store.opening import read_inside, status_inside
from rrdbg.store.pages import pages_are_whole

NAME = "seal.json"
_SCHEMA = 1
_MOST_BYTES = 32 << 20
_PAGES, _SUMS = "ram/pages.bin", "ram/pages.sum"
_NOT_SUMMED = frozenset({_PAGES, "ram/base.ram"})
"""Large files: one is proved by the checksums of its pages, the other is made again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the file system says about a file, and the checksum of its content (none for the large ones)."""

    size: int
    inode: int
    modified: int
    changed: int
    checksum: str

    def is_of(self, root: Path, name: str) -> bool:
        """Whether the file is the same one, untouched since.

        :raises OSError: it is not there.
        """
        status = status_inside(root, name)
        return (self.size, self.inode, self.modified, self.changed) == (
            status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns,
        )  # fmt: skip

    @classmethod
    def look(cls, root: Path, name: str, checksum: str | None = None) -> Stamp:
        """That of a file as it is now, whose content is read, unless it has that ``checksum``.

        :raises OSError: it cannot be read.
        :raises RecordingError: it is no regular file inside of the recording.
        """
        # First the look, then the content: a change meanwhile is one that the next look sees.
        status = status_inside(root, name)
        summed = checksum_inside(root, name) if checksum is None else checksum
        return cls(status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, summed)


def unchanged(root: Path, identity: str, names: Iterable[str]) -> dict[str, Stamp]:
    """What is known here of the content of those files ``names`` that are untouched since; none is read."""
    return _untouched(root, _read(root, identity), names)


def _untouched(root: Path, stamps: Mapping[str, Stamp], names: Iterable[str]) -> dict[str, Stamp]:
    found = {}
    for name in names:
        with contextlib.suppress(OSError, RecordingError):
            if name in stamps and stamps[name].is_of(root, name):
                found[name] = stamps[name]
    return found


def sealed(root: Path, identity: str, *, but: Container[str] = ()) -> frozenset[str]:
    """The files in the recording at ``root`` that are as rrdbg has left them here; ``identity`` is its manifest's.

    Those that were recorded, which have a checksum in the manifest, are to be left out: ``but`` them.
    """
    stamps = {name: stamp for name, stamp in _read(root, identity).items() if name not in but}
    known = {name for name, stamp in stamps.items() if name != _PAGES and _is_same(root, name, stamp)}
    if _PAGES in stamps and _SUMS in known and _pages_are_same(root, stamps):
        known.add(_PAGES)
    return frozenset(known)


def seal(root: Path, identity: str, names: Iterable[str], seen: Mapping[str, Stamp] = MappingProxyType({})) -> None:
    """Put the files ``names`` and those ``seen`` under the seal; what lies there unchanged is not read.

    What other sessions have put there stays, if it was not touched since. Failing that what they hold is found again
    some day, and that is told to the log.
    """
    before, named = _read(root, identity), frozenset(names)
    try:
        stamps = _untouched(root, before, [name for name in before if name not in named])
        stamps |= {name: _stamp(root, name, before.get(name)) for name in sorted(named)} | dict(seen)
        content = {"schema": _SCHEMA, "files": _listed(stamps), "mark": _mark(identity, stamps)}
        write_atomically(root / NAME, (json.dumps(content) + "\n").encode())
    except (OSError, HostError, RecordingError) as error:
        _log.warning("Cannot note what was found in %s: %s", root, error)


def _stamp(root: Path, name: str, before: Stamp | None) -> Stamp:
    if before and before.is_of(root, name):
        return before
    return Stamp.look(root, name, "" if name in _NOT_SUMMED else None)


def _is_same(root: Path, name: str, stamp: Stamp) -> bool:
    try:
        if stamp.is_of(root, name):
            return True
        # A session that was killed may have added pages, which have checksums of their own.
        size = stamp.size if name == _SUMS else None
        return bool(stamp.checksum) and checksum_inside(root, name, size) == stamp.checksum
    except (OSError, RecordingError):
        return False


def _pages_are_same(root: Path, stamps: Mapping[str, Stamp]) -> bool:
    try:
        return all(stamps[name].is_of(root, name) for name in (_PAGES, _SUMS)) or pages_are_whole(root / "ram")
    except (OSError, RecordingError):
        return False


def _read(root: Path, identity: str) -> Mapping[str, Stamp]:
    try:
        content = Document.parse(read_inside(root, NAME, _MOST_BYTES))
        if content["schema"].integer() != _SCHEMA:
            return {}
        stamps = {name: _known(fields) for name, fields in content["files"].items()}
        if content["mark"].text(64) == _mark(identity, stamps):
            return stamps
        _log.info("%s was not made here, and says nothing about %s.", NAME, root)
    except (OSError, HostError, RecordingError, DocumentError):
        # There is none, or none of ours: what it may say counts for nothing.
        return {}
    return {}


def _known(fields: Document) -> Stamp:
    size, inode, modified, changed, summed = fields.values(5, 5)
    return Stamp(size.integer(), inode.integer(), modified.integer(), changed.integer(), summed.text(64))


def _listed(stamps: Mapping[str, Stamp]) -> dict[str, list[int | str]]:
    return {
        name: [stamp.size, stamp.inode, stamp.modified, stamp.changed, stamp.checksum] for name, stamp in stamps.items()
    }


def _mark(identity: str, stamps: Mapping[str, Stamp]) -> str:
    return mark(json.dumps([identity, sorted(_listed(stamps).items())]).encode())
