"""Disk images as QEMU is to open them: many readers of one snapshot file, none of them a writer.

Loading an internal snapshot writes to its image, and a QEMU keeps its image locked; yet several QEMUs must
load one snapshot at once, and a recording must never change. So the qcow2 *file* is itself seen through
a scratch overlay: QEMU writes its new L1 table into the scratch, and the snapshot file stays read-only and
shared. That costs 0.2 ms and 200 kB for a load, against 50 ms and 60 MB for a copy.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rrdbg.errors import ImageError, LinkError
from rrdbg.model.machine.options import escape

_VIRTUAL_SIZE = "1T"
"""Of an empty image: more than any snapshot; an empty qcow2 of this size takes 200 kB."""

THREADS = "threads"
IO_URING = "io_uring"
"""How QEMU reads a file. By threads each of the 2,600 reads that load a 75 MB snapshot is handed over twice: such a
QEMU starts in 0.24 s, and in 0.10 s by io_uring, which not every kernel allows, and not every QEMU was built with.
"""

JsonObject = dict[str, object]

UNFLUSHED: JsonObject = {"cache": {"no-flush": True}}
"""Of a block node of ours: QEMU does not wait for the disk. What a crash of QEMU or of rrdbg leaves is the same.

A busy disk takes its time: one whose file system discards deleted files took up to 33 s for 4 kB, within which QEMU
stood still, and a recorder greeted nobody. Waiting for a quiet one takes 100 ms of a ``savevm`` that else takes 7.
"""

UNSAFE = ("-t", "unsafe")
"""The same for qemu-img."""


async def run_qemu_img(*arguments: str | Path, passed: Sequence[int] = ()) -> str:
    """Run ``qemu-img``, which has the file descriptors ``passed``, and return what it printed.

    :raises LinkError: it is missing.
    :raises ImageError: it failed; the message is its own.
    """
    program = shutil.which("qemu-img")
    if program is None:
        raise LinkError("qemu-img is not installed; on Debian: apt-get install qemu-utils.")
    process = await asyncio.create_subprocess_exec(
        program,
        *map(str, arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=passed,
    )
    try:
        output, errors = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise ImageError(f"qemu-img {arguments[0]} failed: {errors.decode(errors='replace').strip()}")
    return output.decode()


async def create_empty(path: Path) -> None:
    """Make an empty qcow2 image, for one snapshot or as a scratch overlay."""
    await _create(path, _VIRTUAL_SIZE)


async def create_overlay(path: Path, backing: Path, backing_format: str) -> None:
    """Make a qcow2 overlay over a disk image, which is from then on only read."""
    await _create(path, options=("-b", backing.absolute(), "-F", backing_format))


async def _create(path: Path, *size: str, options: Sequence[str | Path] = ()) -> None:
    """Make a qcow2 image in memory first: qemu-img waits for the disk at its end, whatever it is told."""
    draft = os.memfd_create(path.name, os.MFD_CLOEXEC)
    try:
        await run_qemu_img("create", "-q", "-f", "qcow2", *options, f"/dev/fd/{draft}", *size, passed=(draft,))
        await asyncio.to_thread(shutil.copyfile, f"/dev/fd/{draft}", path)
    finally:
        os.close(draft)


async def image_format(path: Path) -> str:
    """The format that qemu-img sees in a disk image, ``raw`` or ``qcow2`` for example."""
    answer = json.loads(await run_qemu_img("info", "-U", "--output=json", path))
    return str(answer["format"])


@dataclass(frozen=True, slots=True)
class ImageDescription:
    """A disk image: its format, the file that it lies over, if any, and the names of its internal snapshots."""

    format: str
    backing: Path | None
    backing_format: str
    tags: frozenset[str]


async def describe_image(path: Path) -> ImageDescription:
    """Look at a disk image that may be in use.

    :raises LinkError: it is none that qemu-img can read.
    """
    answer = json.loads(await run_qemu_img("info", "-U", "--output=json", path))
    backing = answer.get("full-backing-filename", answer.get("backing-filename"))
    return ImageDescription(
        str(answer["format"]),
        None if backing is None else Path(path.parent, backing).absolute(),
        str(answer.get("backing-filename-format", "raw")),
        frozenset(item["name"] for item in answer.get("snapshots", ())),
    )


async def image_files(path: Path, kind: str) -> list[Path]:
    """The files that QEMU opens for the image ``path`` of that format: that one, and those below it.

    :raises LinkError: qemu-img cannot read it.
    :raises ImageError: there are others than raw and qcow2 among them, which may name more.
    """
    if kind == "raw":
        return [path]
    chain = json.loads(await run_qemu_img("info", "-U", "--backing-chain", "--output=json", "-f", kind, path))
    for image in chain:
        more = image.get("format-specific", {}).get("data", {}).get("data-file")
        if image["format"] not in ("raw", "qcow2") or more or not Path(image["filename"]).is_file():
            raise ImageError(f"{image['filename']} is no file of a raw or qcow2 image alone.")
    return [Path(image["filename"]).absolute() for image in chain]


async def copy_state(
    image: Path, tag: str, made: Path, *, backing: Path | None = None, backing_format: str = "raw"
) -> None:
    """Write what the qcow2 ``image`` held at its internal snapshot ``tag`` into the new qcow2 file ``made``.

    The whole content is copied, or only what lies above ``backing``. ``image`` is only read.

    :raises LinkError: qemu-img failed, for example since the disk is full.
    """
    above = () if backing is None else ("-B", backing, "-F", backing_format)
    selected = ("-l", f"snapshot.name={escape(tag)}")
    await run_qemu_img("convert", "-q", *UNSAFE, *selected, "-f", "qcow2", "-O", "qcow2", *above, image, made)


async def snapshot_tags(path: Path) -> dict[str, int]:
    """The internal snapshots of a qcow2 image: icount by tag (-1 where made without record/replay)."""
    answer = json.loads(await run_qemu_img("info", "-U", "--output=json", path))
    return {item["name"]: int(item.get("icount", -1)) for item in answer.get("snapshots", ())}


def through_scratch(node: str, image: Path, scratch: Path, image_is: str = "raw", aio: str = THREADS) -> JsonObject:
    """The block node ``node``: the qcow2 ``image``, all writes going to ``scratch``.

    ``image_is`` tells how the bytes of the inner qcow2 are stored in the file: as they are (``raw``), or
    in turn packed into a qcow2 file. ``aio`` is how QEMU reads files.
    """
    return {
        "driver": "qcow2",
        "node-name": node,
        **UNFLUSHED,
        "file": {
            "driver": "qcow2",
            **UNFLUSHED,
            "file": {"driver": "file", "filename": str(scratch), "aio": aio, **UNFLUSHED},
            "backing": {
                "driver": image_is,
                "read-only": True,
                "file": {"driver": "file", "filename": str(image), "locking": "off", "aio": aio},
            },
        },
    }


def plain_qcow2(node: str, image: Path, *, flushed: bool = False) -> JsonObject:
    """The block node ``node``: a qcow2 image, written in place; ``flushed`` when the guest says so, as a user's is."""
    cache = {} if flushed else UNFLUSHED
    return {"driver": "qcow2", "node-name": node, **cache, "file": {"driver": "file", "filename": str(image), **cache}}


def as_option(description: Mapping[str, object]) -> str:
    """A node's description as the value of ``-blockdev``."""
    return json.dumps(description)
