"""A recording as one portable file: a gzipped tar with relative paths.

Disk images that the recording reads from outside go with it, as ``files/disk-N``; the manifest inside names them there.
An archive may come from anywhere, so unpacking takes regular files at a recording's own paths and nothing else, and a
member may not be larger than it says.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import Self

from rrdbg.errors import RecordingError, UsageError
from rrdbg.model.machine.drives import Disk
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.snapshot import Snapshot, SnapshotKind
from rrdbg.store.manifest import Manifest
from rrdbg.store.opening import is_inside, open_inside, open_regular
from rrdbg.store.page_table import read_table
from rrdbg.store.pages import Pages
from rrdbg.store.ram_block import known_block
from rrdbg.store.recording import Recording

_MEMBER = re.compile(
    r"manifest\.json|replay\.bin|console\.log|deliveries\.bin|timeline\.json|hits\.json"
    r"|snapshots/[\w-]+\.(qcow2|state|pages)|ram/(pages\.bin|pages\.sum|block\.json)|disks/\d+\.qcow2|files/[\w-]+",
    re.ASCII,
)
_CHUNK = 1 << 20
_MOST_PADDING = 1 << 20
"""Zeros that may follow the last file; the library writes 10 KiB at most."""

# The data is mostly qcow2 with zeros and kernels: level 1 is four times as fast as 6, and 5 % larger.
_COMPRESSION = 1


@dataclass(frozen=True, slots=True)
class ArchiveProgress:
    """The member that is being copied, and bytes done and in all."""

    name: str
    done: int
    total: int


def pack(recording: Recording, out: Path, timeline: Timeline, *, everything: bool) -> Iterator[ArchiveProgress]:
    """Write ``recording`` to ``out``, which appears only when it is whole; iterate to do the work.

    Snapshots that can be made again are left out unless ``everything`` is to go.

    :raises UsageError: ``out`` exists.
    :raises RecordingError: it cannot be written, or a disk image is missing.
    """
    if out.exists():
        raise UsageError(f"{out} exists already; choose another file with --output, or remove it.")
    draft = out.with_name(f".{out.name}.part")
    trimmed = None
    try:
        snapshots = _snapshots(timeline, everything=everything)
        members = _members(recording, snapshots)
        if mapped := [snapshot for snapshot in snapshots if snapshot.mapped]:
            trimmed = tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.absolute().parent)
            members |= _ram(recording, mapped, Path(trimmed.name))
        total = sum(path.stat().st_size for path in members.values())
        done = 0
        with _new_archive(draft) as archive:
            content = _portable_manifest(recording)
            archive.addfile(_header("manifest.json", len(content)), io.BytesIO(content))
            for name, path in members.items():
                with _open_member(recording, path) as file:
                    header = _header(name, os.fstat(file.fileno()).st_size)
                    yield ArchiveProgress(name, done, total)
                    archive.addfile(header, file)
                done += header.size
        draft.replace(out)
    except OSError as error:
        raise RecordingError(f"Cannot pack {recording.name} into {out}: {error}.") from None
    finally:
        draft.unlink(missing_ok=True)
        if trimmed:
            trimmed.cleanup()


def unpack(archive: Path, directory: Path) -> Iterator[ArchiveProgress]:
    """Unpack ``archive`` as the recording ``directory``, which appears only when it is whole; iterate to do the work.

    :raises UsageError: ``directory`` exists.
    :raises RecordingError: the archive cannot be read, is none of ours, or would write elsewhere.
    """
    if directory.exists():
        raise UsageError(f"{directory} exists already; choose another place with --output, or remove it.")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    except OSError as error:
        raise RecordingError(f"Cannot unpack into {directory}: {error.strerror}.") from None
    try:
        room = shutil.disk_usage(draft).free
        with open_regular(archive.resolve()) as packed, gzip.GzipFile(fileobj=packed) as unpacked:
            total = os.fstat(packed.fileno()).st_size
            with tarfile.open(fileobj=unpacked, mode="r|", tarinfo=_Member) as source:
                for member in source:
                    yield ArchiveProgress(member.name, packed.tell(), total)
                    room -= member.size
                    if room < 0:
                        raise RecordingError(
                            f"{archive} holds more than there is room for at {directory.parent}; nothing was unpacked."
                        )
                    _extract(source, member, draft)
            _check_rest(unpacked)
        if not is_inside(draft, "manifest.json"):
            raise RecordingError(
                f"{archive} is no packed recording: it has no manifest.json. Get it again, or pack again."
            )
        Manifest.read(draft / "manifest.json")
        for name in ("snapshots", "disks", "files"):
            (draft / name).mkdir(exist_ok=True)
        draft.rename(directory)
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as error:
        raise RecordingError(f"Cannot unpack {archive}: {error}. Get it again, or pack again.") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _snapshots(timeline: Timeline, *, everything: bool) -> list[Snapshot]:
    """Those that go along."""
    kept = (SnapshotKind.INITIAL, SnapshotKind.NAMED)
    return [item for item in timeline.snapshots if everything or item.kind in kept]


def _ram(recording: Recording, snapshots: Sequence[Snapshot], folder: Path) -> dict[str, Path]:
    """The pages that ``snapshots`` consist of, by name in the archive; what only others need is zeros in it."""
    layout = recording.layout
    block = known_block(layout)
    if block is None:
        raise RecordingError(f"{layout.ram / 'block.json'} is missing or damaged; 'rrdbg index' makes snapshots anew.")
    with recording.turn():  # another session may be adding some
        for name in ("pages.bin", "pages.sum"):
            shutil.copyfile(layout.ram / name, folder / name)
    tables = [read_table(layout.root / snapshot.files[1], block.pages) for snapshot in snapshots]
    Pages(folder).keep_only(tables)
    return {f"ram/{name}": folder / name for name in ("pages.bin", "pages.sum")} | {
        "ram/block.json": layout.ram / "block.json"
    }


def _members(recording: Recording, snapshots: Sequence[Snapshot]) -> dict[str, Path]:
    """All but the manifest and the pages, by name in the archive."""
    layout = recording.layout
    names = {name for item in snapshots for name in item.files} | set(recording.manifest.checksums)
    names |= {
        layout.relative(path)
        for path in (layout.console, layout.deliveries, layout.timeline, layout.hits)
        if path.exists()
    }
    members = {name: layout.root / name for name in sorted(names)}
    for index, disk in enumerate(recording.manifest.invocation.disks):
        members[_disk_name(index)] = _whole_image(disk, layout.source(disk))
    return members


def _portable_manifest(recording: Recording) -> bytes:
    manifest = recording.manifest
    disks = [replace(disk, source=_disk_name(index)) for index, disk in enumerate(manifest.invocation.disks)]
    return replace(manifest, invocation=replace(manifest.invocation, disks=tuple(disks))).to_bytes()


def _whole_image(disk: Disk, path: Path) -> Path:
    """``path``, the image of ``disk``, if it needs no other file.

    What lies below may be named by the command line, or in a qcow2's header, which holds a magic, a version and the
    offset of the backing file's name, 0 for none.
    """
    with open_regular(path.resolve()) as file:
        head = file.read(16)
    if disk.backing is not None or (head[:4] == b"QFI\xfb" and int.from_bytes(head[8:16], "big")):
        raise RecordingError(
            f"The disk image {path} has a backing file, and an archive with only one of the two would not open. "
            "Record the guest again with a flat copy (qemu-img convert)."
        )
    return path


def _disk_name(index: int) -> str:
    return f"files/disk-{index}"


def _header(name: str, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size = size
    header.mode = 0o644
    return header


def _extract(source: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    file = source.extractfile(member) if member.isreg() else None
    if file is None or not _MEMBER.fullmatch(member.name):
        raise RecordingError(f"{member.name!r} is nothing that a packed recording has; nothing was unpacked.")
    path = root / member.name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.exists():
        raise tarfile.ReadError(f"it has {member.name} twice")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as out:
        shutil.copyfileobj(file, out, _CHUNK)


class _Member(tarfile.TarInfo):
    """The header of a plain file, and nothing else.

    Looked at before the library acts on it: it would read extended headers into memory, whatever they say they are, and
    make a file of gigabytes of a sparse one's few bytes.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """The header in ``buf``.

        :raises RecordingError: it is another one.
        """
        member = super().frombuf(buf, encoding, errors)
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.size < 0:
            raise RecordingError(f"{member.name!r} is nothing that a packed recording has; nothing was unpacked.")
        return member


def _new_archive(path: Path) -> tarfile.TarFile:
    # GNU's format has room for any size in the header itself; the other one puts those above 8 GiB beside it.
    return tarfile.open(path, "w:gz", compresslevel=_COMPRESSION, format=tarfile.GNU_FORMAT)


def _open_member(recording: Recording, path: Path) -> BufferedReader:
    layout = recording.layout
    if path.is_relative_to(layout.root):
        return open_inside(layout.root, layout.relative(path))
    return open_regular(path.resolve())  # a disk image of the user's, where he has told that it is


def _check_rest(unpacked: gzip.GzipFile) -> None:
    """Read to the end, where a checksum tells whether all was as it was packed."""
    rest = unpacked.read(_MOST_PADDING + 1)
    if len(rest) > _MOST_PADDING or rest.strip(b"\0"):
        raise tarfile.ReadError("something else follows the last of its files")
