"""Which recordings are this user's own, and what the files of any other one may be.

A recording is data that tells which program to run and how, so it matters who wrote it. A list in the XDG state
directory, which is outside of every recording, has the checksums of the manifests that this user has made here, or has
said to trust. It survives moving and copying, and nothing that comes with a recording can add to it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from pathlib import Path

from rrdbg.errors import RecordingError
from rrdbg.model.machine.trust import check_invocation
from rrdbg.store.files import checksum, state_directory
from rrdbg.store.manifest import Manifest

_log = logging.getLogger(__name__)

_MEMBER = re.compile(r"replay\.bin|snapshots/[\w-]+\.qcow2|disks/\d+\.qcow2|files/[\w-]+", re.ASCII)
_QCOW2 = b"QFI\xfb"
_HEADER = 80
_EXTERNAL_DATA = 1 << 2
"""The bit among a qcow2's incompatible features that tells that its data lies in another file."""


def remember(manifest: Path) -> None:
    """Note that the recording with this manifest is the user's own, or as good."""
    path = _list()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        line = f"{checksum(manifest)} {manifest.parent}\n"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(line)
    except OSError as error:
        # Without it the recording is taken for a foreign one, which most recordings can be.
        _log.warning("Cannot note in %s that a recording is yours: %s", path, error)


def is_own(manifest: Path) -> bool:
    """Whether the recording with this manifest was noted by :func:`remember`."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        known = {line.partition(" ")[0] for line in _list().read_text(errors="replace").splitlines()}
        return checksum(manifest) in known
    return False


def check_foreign(root: Path, manifest: Manifest) -> None:
    """Look whether a recording that somebody else has made can be opened without any harm to the host.

    :raises RecordingError: it asks for more than a machine made of its own files; the message says for what, and how
        to open it nevertheless.
    """
    try:
        check_invocation(manifest.invocation)
        for name in manifest.checksums:
            if not _MEMBER.fullmatch(name):
                raise RecordingError(f"This recording was not made here, and it lists the file {name}.")
        _check_tree(root)
    except (AttributeError, TypeError) as error:
        raise RecordingError(f"{root / 'manifest.json'} is damaged ({error}). Get the recording again.") from None
    except RecordingError as error:
        raise RecordingError(
            f"{error} {root} is therefore not opened. If you trust whoever made it, add --trust once."
        ) from None


def _check_tree(root: Path) -> None:
    """Refuse links, and images that would make QEMU open other files."""
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink():
                raise RecordingError(f"This recording was not made here, and {path} is a link.")
        if folder == str(root / "scratch"):
            continue  # what a crash has left there is removed before anything is opened
        for name in files:
            _check_image(Path(folder, name), root)


def _check_image(path: Path, root: Path) -> None:
    """Refuse a qcow2 with a backing file, or one whose data lies elsewhere.

    The overlays in ``disks`` have a backing file; what QEMU takes for it is told each time, and lies in the recording.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER)
    except OSError as error:
        raise RecordingError(f"Cannot read {path}: {error.strerror}.") from None
    if head[:4] != _QCOW2:
        return
    version = int.from_bytes(head[4:8], "big")
    backing = int.from_bytes(head[8:16], "big") and path.parent != root / "disks"
    external = version >= 3 and int.from_bytes(head[72:80], "big") & _EXTERNAL_DATA
    if backing or external:
        raise RecordingError(f"This recording was not made here, and {path} makes QEMU open another file.")


def _list() -> Path:
    return state_directory() / "trusted"
