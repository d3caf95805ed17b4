"""What QEMU would open beside an image, as the headers of the images in a recording tell."""

from __future__ import annotations

import os
from pathlib import Path

from rrdbg.errors import RecordingError
from rrdbg.store.opening import open_inside

_QCOW2 = b"QFI\xfb"
_HEADER = 104
_KNOWN_FEATURES = 0b11011
"""Dirty, corrupt, kind of compression, extended L2 (QEMU: docs/interop/qcow2.txt). Bit 2, data elsewhere, is none."""


def check_images(root: Path) -> None:
    """Look through the whole recording at ``root`` for links, and for images that make QEMU open other files.

    The overlays in ``disks`` have a backing file; what QEMU takes for it is told each time. It takes 0.1 ms a file.

    :raises RecordingError: there is one; the message says which.
    """
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink():
                raise RecordingError(f"{path} is a link, and a recording has none.")
        if folder == str(root / "scratch"):
            folders.clear()
            continue  # what a crash has left there is removed before anything is opened
        for name in files:
            _check_image(root, Path(folder, name).relative_to(root).as_posix())


def _check_image(root: Path, name: str) -> None:
    try:
        with open_inside(root, name) as file:
            head = file.read(_HEADER)
    except OSError as error:
        raise RecordingError(f"Cannot read {root / name}: {error.strerror}.") from None
    if head[:4] != _QCOW2:
        return
    backing, encrypted = int.from_bytes(head[8:16], "big"), int.from_bytes(head[32:36], "big")
    features = int.from_bytes(head[72:80], "big") if int.from_bytes(head[4:8], "big") >= 3 else 0
    if (backing and not name.startswith("disks/")) or features & ~_KNOWN_FEATURES:
        raise RecordingError(f"{root / name} makes QEMU open another file, or has features that rrdbg does not know.")
    if encrypted:
        raise RecordingError(f"{root / name} is encrypted, which no recording's images are.")
