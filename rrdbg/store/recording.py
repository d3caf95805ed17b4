"""A recording on disk, opened: what was recorded, read and checked, and whose turn it is to write there."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import MappingProxyType

from rrdbg.errors import HostError, LogError, RecordingError
from rrdbg.model.document import Document, DocumentError
from rrdbg.store.aside import Aside
from rrdbg.store.files import checksum, write_atomically
from rrdbg.store.images import check_images
from rrdbg.store.key import has_mark, with_mark
from rrdbg.store.layout import Layout
from rrdbg.store.manifest import Manifest
from rrdbg.store.opening import is_inside, read_regular
from rrdbg.store.replaylog import LogSummary, summarise
from rrdbg.store.seal import Stamp, seal, sealed, unchanged
from rrdbg.store.shared_file import SharedFile
from rrdbg.store.sharing import InUseError, Others, Turns, is_free, is_ours, take_lock
from rrdbg.store.trust import check_foreign, is_own, remember

_log = logging.getLogger(__name__)

_MOST_DIGEST = 1 << 33
"""Bytes of a digest: 9 for each of a thousand million interrupts."""

_MOST_MARKED = 64 << 20


class Recording:
    """An opened recording: its manifest, the digest of its log, and which of its other files rrdbg has written here.

    ``own`` tells that the user's own manifest stands in it; a foreign one was written anew. ``believed`` are files
    that were computed from the recording here, or are trusted: others are as if they were not there.
    """

    def __init__(
        self,
        layout: Layout,
        manifest: Manifest,
        log: LogSummary,
        lock: int | None,
        *,
        own: bool = True,
        identity: str = "",
        believed: frozenset[str] | None = frozenset(),
        seen: Mapping[str, Stamp] = MappingProxyType({}),
        others: Others | None = None,
        first: int | None = None,
    ) -> None:
        self.layout = layout
        self.manifest = manifest
        self.log = log
        self.own = own
        self.beside = first
        """The process that had opened it before this one, if this one works beside it."""
        self.timeline_file = SharedFile(layout.timeline)
        self.hits_file = SharedFile(layout.hits)
        self._lock = lock
        self._others = others
        self._turns = Turns(layout.root)
        self._identity = identity
        self._seen = seen
        self._believed = believed
        self.aside = Aside()
        """A folder for what is not to outlive this session."""
        self._told = False
        self._visited = first is not None or (others is not None and not others.kept_out)
        self._strange = frozenset() if believed is None or lock is None else self._not_made()

    @classmethod
    def open(cls, root: Path, *, trusted: bool = False, beside: bool = False) -> Recording:
        """Open and check a recording; one that is ``trusted`` was made a moment ago, by this process.

        Nobody else comes in until :meth:`let_others_in`. If another rrdbg of this user's has it already, it is opened
        ``beside`` that one, if this may be, and then this is not the :attr:`first`.

        :raises RecordingError: it is missing, incomplete, damaged, or in use by another rrdbg, or it was made by
            somebody else and asks for more than a machine.
        """
        layout = Layout(root.absolute())
        if not root.is_dir():
            raise RecordingError(f"There is no recording at {root}. 'rrdbg ls' lists the recordings.")
        manifest = Manifest.read(layout.manifest)
        own = trusted or is_own(layout.manifest)
        if own:
            check_images(layout.root)
        else:
            manifest = check_foreign(layout.root, manifest)
        while True:
            try:
                lock = take_lock(layout.root)
                break
            except InUseError as error:
                if not beside or error.pid is None or not is_ours(error.pid):
                    raise
                if found := cls._open_beside(layout, manifest, error.pid, own=own):
                    return found
        others = None
        try:
            others = Others.keep_out(layout.root) if lock is not None else None
            identity = checksum(layout.manifest)
            known = unchanged(layout.root, identity, manifest.checksums)
            seen = _check_files(layout, manifest, known)
            believed = sealed(layout.root, identity, but=manifest.checksums)
            log = _digest(layout, manifest, believed=layout.deliveries.name in believed)
            recording = cls(
                layout, manifest, log, lock,
                own=own, identity=identity, believed=believed, seen=seen, others=others,
            )  # fmt: skip
            if lock is not None and layout.deliveries.name not in believed:
                write_atomically(layout.deliveries, log.to_bytes())
                recording.note(layout.deliveries)
            elif lock is not None and seen != known:
                recording.note()
            return recording
        except BaseException:
            if others:
                others.close()
            if lock is not None:
                os.close(lock)
            raise

    @classmethod
    def _open_beside(cls, layout: Layout, manifest: Manifest, first: int, *, own: bool) -> Recording | None:
        """Open a recording that the process ``first`` has; when that has looked at it, nothing strange is in it.

        None if it has gone meanwhile: it may have been killed as it looked.
        """
        others = Others.join(layout.root, first)
        try:
            if is_free(layout.root):
                others.close()
                return None
            identity = checksum(layout.manifest)
            _check_files(layout, manifest, unchanged(layout.root, identity, manifest.checksums))
            believed = sealed(layout.root, identity, but=manifest.checksums)
            log = _digest(layout, manifest, believed=layout.deliveries.name in believed)
            _log.info(
                "%s is open in another rrdbg, too (pid %d); each sees what the other one keeps.", layout.name, first
            )
            return cls(
                layout, manifest, log, None,
                own=own, identity=identity, believed=believed, others=others, first=first,
            )  # fmt: skip
        except BaseException:
            others.close()
            raise

    @classmethod
    def peek(cls, root: Path) -> Recording:
        """Open a recording to tell about it only: nothing is locked, written or run.

        :raises RecordingError: it is missing or damaged.
        """
        layout = Layout(root.absolute())
        manifest = Manifest.read(layout.manifest)
        identity = checksum(layout.manifest)
        believed = sealed(layout.root, identity, but=manifest.checksums)
        log = _digest(layout, manifest, believed=layout.deliveries.name in believed)
        own = is_own(layout.manifest)
        return cls(layout, manifest, log, None, own=own, identity=identity, believed=believed)

    @classmethod
    def join(cls, root: Path, *, own: bool) -> Recording:
        """Open a recording that another process has open and has checked: it holds the lock, and says whose it is.

        :raises RecordingError: it is missing or damaged.
        """
        layout = Layout(root.absolute())
        manifest = Manifest.read(layout.manifest)
        if not own:
            manifest = check_foreign(layout.root, manifest)
        return cls(layout, manifest, _digest(layout, manifest, believed=True), None, own=own, believed=None)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.layout.name

    @property
    def writable(self) -> bool:
        """Whether what is found can be kept."""
        return self._lock is not None or self.beside is not None

    @property
    def first(self) -> bool:
        """Whether this one came first of those that are at work here: it alone deletes."""
        return self._lock is not None

    @property
    def not_kept(self) -> str:
        """Why nothing is kept where it is not :attr:`writable`, as a sentence."""
        return f"{self.layout.root} is read-only, so what is found here is not kept."

    def place_of(self, path: Path) -> Path:
        """Where the file ``path`` of what is found is written: there, or where nothing can be kept, aside.

        That is then told to the log, once.

        :raises RecordingError: there is no room for it.
        """
        if self.writable:
            return path
        if not self._told:
            self._told = True
            _log.warning("%s", self.not_kept)
        return self.aside.place_of(path)

    def kept_at(self, path: Path) -> Path:
        """Where such a file is read, which this session may have put aside."""
        return self.aside.kept_at(path)

    def turn(self) -> AbstractContextManager[None]:
        """This session's turn to write, for a moment; inside of it one may ask for it again.

        :raises InUseError: (as it is entered) another session has been writing for long.
        """
        return self._turns.take() if self.writable else nullcontext()

    def let_others_in(self) -> None:
        """All that was strange or left over has gone: others may work here, too."""
        if self._others and self._lock is not None:
            self._others.let_in()
            self._visited = True

    def others_absent(self) -> AbstractContextManager[bool]:
        """Whether nobody works beside this one, which alone may delete something then; nobody comes in meanwhile."""
        if self.beside is not None:
            return nullcontext(False)
        return nullcontext(True) if self._others is None else self._others.absent()

    def has_made(self, name: str) -> bool:
        """Whether the file of that name was computed here.

        So were the snapshots and pages that have come since the first session looked: by those that work beside it.
        """
        if self._believed is None or name in self._believed:
            return True
        return self.beside is not None or (self._visited and name.startswith(("snapshots/", "ram/")))

    def believes(self, content: bytes) -> bool:
        """Whether ``content``, that of a file of JSON, was written here, by :meth:`marked`."""
        return self._believed is None or has_mark(self._identity, content)

    def marked(self, content: bytes) -> bytes:
        """``content``, JSON without its last brace, so that :meth:`believes` knows it again.

        :raises HostError: this user has no key, and none can be made.
        """
        return with_mark(self._identity, content)

    def remove_strange(self) -> None:
        """Delete the files of snapshots and pages that were not made here.

        :raises RecordingError: they cannot be deleted, and machines would use them.
        """
        strange = self._not_made()
        if self._lock is None:
            if any(name.startswith("ram/") for name in strange):
                raise RecordingError(
                    f"{self.layout.ram} was made elsewhere, and {self.layout.root} is read-only. Open a copy, or add "
                    "--trust once."
                )
            return
        for name in strange:
            (self.layout.root / name).unlink()
        self._strange = frozenset()

    def _not_made(self) -> frozenset[str]:
        return frozenset(name for name in map(self.layout.relative, computed(self.layout)) if not self.has_made(name))

    def note(self, *written: Path) -> None:
        """Put ``written``, files that were just written here, under the seal, and snapshots and pages that are new."""
        assert self._believed is not None, "only who has opened it writes"
        names = self._believed | {self.layout.relative(path) for path in (*written, *computed(self.layout))}
        names -= self._strange
        there = {name for name in names if is_inside(self.layout.root, name)}
        self._believed = frozenset(there)
        with self.turn():
            seal(self.layout.root, self._identity, there, self._seen)

    def close(self) -> None:
        """Let others use it."""
        if self.writable and self._believed:
            self.note()  # also what was made as the session ended
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self.beside = None
        self.aside.close()
        if self._others:
            self._others.close()
            self._others = None

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def computed(layout: Layout) -> list[Path]:
    """The files of snapshots and pages that there are, but for the initial one, which was recorded."""
    folders = (layout.snapshots, layout.ram)
    return [
        path
        for folder in folders
        if folder.is_dir() and not folder.is_symlink()
        for path in sorted(folder.iterdir())
        if path != layout.initial
    ]


def adopt(root: Path) -> None:
    """Take the recording at ``root`` for the user's own, with all that was computed from it.

    :raises RecordingError: it cannot be read.
    """
    layout = Layout(root.absolute())
    remember(layout.manifest)
    files = [*computed(layout), layout.deliveries]
    names = [name for name in map(layout.relative, files) if is_inside(layout.root, name)]
    try:
        identity = checksum(layout.manifest)
    except OSError as error:
        raise RecordingError(f"Cannot read {layout.manifest}: {error.strerror}.") from None
    seal(layout.root, identity, names)
    for path in (layout.timeline, layout.hits, layout.linux, layout.switches):
        _mark_again(path, identity)


def _mark_again(path: Path, identity: str) -> None:
    """Give a file the mark of this user in the place of somebody else's, or of none."""
    try:
        content = Document.parse(read_regular(path, _MOST_MARKED)).written(without="mark")
        write_atomically(path, with_mark(identity, content.removesuffix("}").encode()))
    except (FileNotFoundError, DocumentError):
        return  # whoever reads it next says what is wrong with it
    except OSError as error:
        raise HostError.of(error, f"Cannot take {path} for your own") from None


def incomplete(path: Path | str) -> RecordingError:
    """The error that a recording lacks its file ``path``."""
    return RecordingError(f"The recording is incomplete: {path} is missing. Restore it, or record again.")


def _check_files(layout: Layout, manifest: Manifest, known: Mapping[str, Stamp]) -> Mapping[str, Stamp]:
    """What there is to know again of the recorded files; those that are ``known`` are not read.

    :raises RecordingError: one is not what was recorded.
    """
    seen = {}
    for name, expected in manifest.checksums.items():
        path = layout.root / name
        try:
            seen[name] = known[name] if name in known else Stamp.look(layout.root, name)
        except FileNotFoundError:
            raise incomplete(path) from None
        except OSError as error:
            raise RecordingError(f"Cannot read {path}: {error.strerror}.") from None
        if seen[name].checksum != expected:
            raise RecordingError(
                f"{path} is not the file that was recorded: its checksum differs from the manifest's. "
                "It was changed, truncated, or belongs to another recording; restore it, or record again."
            )
    return seen


def _digest(layout: Layout, manifest: Manifest, *, believed: bool) -> LogSummary:
    """What the log tells; by the digest of it if that was made here.

    :raises RecordingError: the log is damaged, or of another length than the manifest says.
    """
    summary = _kept_digest(layout) if believed else None
    if summary is None:
        summary = summarise(layout.log)
    if manifest.icount > summary.total:
        raise RecordingError(
            f"{layout.manifest} is damaged: it tells of {manifest.icount:,} instructions, and {layout.log.name} has "
            f"{summary.total:,}. Get the recording again."
        )
    return summary


def _kept_digest(layout: Layout) -> LogSummary | None:
    try:
        return LogSummary.from_bytes(read_regular(layout.deliveries, _MOST_DIGEST))
    except (FileNotFoundError, LogError):
        return None
