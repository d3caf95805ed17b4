"""Which recordings are this user's own, and what the files of any other one may be.

A recording is data that tells which program to run and how, so it matters who wrote it. A list in the XDG state
directory, which is outside of every recording, has the checksums of the manifests that this user has made here, or has
said to trust. The manifest in turn has the checksums of all that was recorded, which are compared at each opening; what
was computed from it since is under a seal of its own (:mod:`rrdbg.store.seal`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
from pathlib import Path

from rrdbg.errors import RecordingError
from rrdbg.model.machine.description.describe import describe
from rrdbg.store.files import checksum, state_directory
from rrdbg.store.images import check_images
from rrdbg.store.manifest import Manifest

_log = logging.getLogger(__name__)

_MEMBER = re.compile(r"replay\.bin|snapshots/[\w-]+\.qcow2|disks/\d+\.qcow2|files/[\w-]+", re.ASCII)
_NEEDED = ("replay.bin", "snapshots/initial.qcow2")
_TAG = re.compile(r"[\w. -]{0,128}", re.ASCII)


def remember(manifest: Path) -> None:
    """Note that the recording with this manifest is the user's own, or as good."""
    path = _list()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        line = f"{checksum(manifest)} {str(manifest.parent)!r}\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "w") as file:
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


def check_foreign(root: Path, manifest: Manifest) -> Manifest:
    """``manifest``, which somebody else has written, with QEMU's options written anew.

    :raises RecordingError: it asks for more than a machine made of its own files; the message says for what, and how
        to open it nevertheless.
    """
    try:
        written = dataclasses.replace(manifest, invocation=describe(manifest.invocation))
        for name in manifest.checksums:
            if not _MEMBER.fullmatch(name):
                raise RecordingError(f"This recording was not made here, and it lists the file {name}.")
        for name in _needed(manifest):
            if name not in manifest.checksums:
                raise RecordingError(f"This recording was not made here, and it has no checksum of its file {name}.")
        if not _TAG.fullmatch(manifest.initial_tag):
            raise RecordingError(f"This recording was not made here, and its snapshot is {manifest.initial_tag!r}.")
        check_images(root)
        return written
    except RecordingError as error:
        raise RecordingError(
            f"{error} {root} is therefore not opened. If you trust whoever made it, add --trust once."
        ) from None


def _needed(manifest: Manifest) -> list[str]:
    """Files that QEMU opens, and which a manifest must therefore tell the content of."""
    return [*_NEEDED, *(f"files/{file.name}" for file in manifest.invocation.bundled)]


def _list() -> Path:
    return state_directory() / "trusted"
