"""The guest's disks in a snapshot: what a replay has written to each since the recording's start.

A recording keeps one qcow2 file a disk, ``disks/N.qcow2``, which never changes. Seen as mere bytes it is the
bottom of every machine's disk; a snapshot's *delta* lies on it, and a machine's own scratch on that. So a start
copies nothing, and no snapshot needs another one: saving merges the scratch into a copy of the delta below it.

QEMU wants to find an internal snapshot in every disk. Those that a machine made before, or was loaded from, are
deleted in the copy, offline: each delta would else hold the data of all earlier ones.

Saving those snapshots is also what makes QEMU write its caches to the scratch. Nothing else does: while it replays
QEMU flushes no disk when it stops, and a flush by ``qemu-io`` waits for requests that wait for the log (7.2).
"""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from rrdbg.links.images import UNFLUSHED, UNSAFE, JsonObject, as_option, run_qemu_img
from rrdbg.links.words import disk_node
from rrdbg.model.machine.drives import Disk


@dataclass(frozen=True, slots=True)
class Base:
    """What all snapshots of a disk lie on: the qcow2 ``overlay`` that the recorded guest wrote, over ``image``.

    The image's place is told to QEMU each time, as the one in the overlay's header goes wrong in a recording that
    was unpacked elsewhere. None is below a qcow2 of the user's that the guest wrote in place and that is complete.
    """

    overlay: Path
    image: JsonObject | None


def image_node(disk: Disk, source: Path) -> JsonObject | None:
    """The user's image ``source`` of ``disk`` as it is read below what the guest writes; None if there is none."""
    below: JsonObject | None = None
    if disk.backing is not None:
        below = {"driver": disk.backing_format or "raw", "read-only": True, "file": _shared(Path(disk.backing))}
    if disk.in_place:
        return below
    image: JsonObject = {"driver": disk.format or "raw", "read-only": True, "file": _shared(source)}
    return image if below is None else {**image, "backing": below}


def read_only_node(index: int, disk: Disk, source: Path) -> JsonObject:
    """The block node of a disk that the guest cannot write, such as a CD-ROM: the image itself."""
    return {
        "driver": disk.format or "raw",
        "node-name": disk_node(index),
        "read-only": True,
        "file": {"driver": "file", "filename": str(source)},
    }


def disk_through_scratch(node: str, base: Base, delta: Path | None, scratch: Path) -> JsonObject:
    """The block node ``node``: the qcow2 ``base``, changed by ``delta``; all writes go to ``scratch``."""
    return {"node-name": node, **_disk(base, _layer(scratch, _below(base, delta), writable=True))}


def _disk(base: Base, content: JsonObject) -> JsonObject:
    return {"driver": "qcow2", "file": content, "backing": base.image, **UNFLUSHED}


async def save_delta(base: Base, delta: Path | None, scratch: Path, tag: str | None, made: Path) -> None:
    """Merge ``delta`` and ``scratch``, where a stopped QEMU has just saved a snapshot, into the new file ``made``.

    Of snapshots inside only ``tag`` is kept.

    :raises LinkError: qemu-img failed, for example since the disk is full.
    """
    upper = made if delta is None else made.with_suffix(".upper")
    try:
        await asyncio.to_thread(shutil.copyfile, scratch, upper)
        if delta is not None:
            await asyncio.to_thread(shutil.copyfile, delta, made)
            await run_qemu_img("rebase", *UNSAFE, "-u", "-f", "qcow2", "-F", "qcow2", "-b", made.absolute(), upper)
            await run_qemu_img("commit", *UNSAFE, "-q", "-d", "-f", "qcow2", upper)
            upper.unlink()
        await keep_only(tag, made, base)
    except BaseException:
        made.unlink(missing_ok=True)
        upper.unlink(missing_ok=True)
        raise


async def keep_only(tag: str | None, made: Path, base: Base) -> None:
    """Have ``made``, a delta on ``base``, hold no snapshot but ``tag``.

    :raises LinkError: qemu-img failed.
    """
    layer = {**_layer(made, _below(base, None), writable=True), "discard": "unmap"}
    # Tags are in the qcow2 itself; qemu-img opens no backing file for them, and refuses to be told one.
    disk = "json:" + as_option({"driver": "qcow2", "file": layer, "backing": None, "discard": "unmap"})
    tags = {item["name"] for item in json.loads(await run_qemu_img("info", "--output=json", disk))["snapshots"]}
    for other in tags - {tag}:
        await run_qemu_img("snapshot", "-d", other, disk)


def _below(base: Base, delta: Path | None) -> JsonObject:
    bottom: JsonObject = {"driver": "raw", "read-only": True, "file": _shared(base.overlay)}
    return bottom if delta is None else _layer(delta, bottom, writable=False)


def _layer(file: Path, backing: JsonObject, *, writable: bool) -> JsonObject:
    if writable:
        source: JsonObject = {"driver": "file", "filename": str(file), **UNFLUSHED}
        return {"driver": "qcow2", "file": source, "backing": backing, **UNFLUSHED}
    return {"driver": "qcow2", "file": _shared(file), "backing": backing, "read-only": True}


def _shared(file: Path) -> JsonObject:
    return {"driver": "file", "filename": str(file), "locking": "off"}
