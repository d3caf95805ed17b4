"""Snapshots of a guest that writes its disk: the disk comes back with the machine."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rrdbg.engine.machines.disks import Base, disk_through_scratch, image_node
from rrdbg.engine.replay import Replay
from rrdbg.links.images import run_qemu_img
from rrdbg.links.qmp import SnapshotNotNow
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import SnapshotKind
from tests.keeper.conftest import SECTORS, DiskGuest, digest

_SIZE = 512
_numbers = itertools.count()


async def disk_content(replay: Replay, out: Path) -> bytes | None:
    """The guest's disk at the cursor, read from the files of the cursor's machine by another program.

    None where QEMU cannot save: saving is the only way to make it write its caches.
    """
    machine = await replay.machine()
    try:
        await machine.qmp.save_snapshot(f"probe-{next(_numbers)}", "rrdbg-disk0", ["rrdbg-disk0"])
    except SnapshotNotNow:
        return None
    nodes = await machine.qmp.execute("query-named-block-nodes", flat=True)
    assert isinstance(nodes, list)
    (node,) = (item for item in nodes if item["node-name"] == "rrdbg-disk0")
    description = json.loads(str(node["image"]["filename"]).removeprefix("json:"))
    await run_qemu_img("convert", "-U", "-O", "raw", "json:" + json.dumps(unlocked(description)), out)
    return out.read_bytes()


def unlocked(node: dict[str, object]) -> dict[str, object]:
    """The same block node for a reader who minds no lock."""
    changed = {key: unlocked(value) if isinstance(value, dict) else value for key, value in node.items()}
    return changed | {"locking": "off"} if node.get("driver") == "file" else changed


def check(content: bytes, number: int) -> None:
    """The sectors hold what a guest has written that is busy with its ``number``-th write."""
    for index in range(SECTORS):
        found = struct.unpack("<128I", content[(index + 1) * _SIZE : (index + 2) * _SIZE])
        assert len(set(found)) == 1
        latest = number - (number - index) % SECTORS
        expected = {latest if latest > 0 else 0}
        if latest == number:
            expected.add(max(latest - SECTORS, 0))
        assert found[0] in expected, (index, number)


@dataclass(frozen=True)
class Sight:
    """What is seen at a position; ``content`` is None where the disk cannot be read."""

    position: Position
    number: int
    registers: dict[str, int]
    content: bytes | None


async def observe(replay: Replay, guest: DiskGuest, positions: Sequence[Position], out: Path) -> list[Sight]:
    seen = []
    for position in positions:
        await replay.seek(position)
        number = struct.unpack("<I", await (await replay.machine()).read_physical(guest.number, 4))[0]
        content = await disk_content(replay, out)
        if content is not None:
            check(content, number)
        seen.append(Sight(position, number, await replay.registers(), content))
    return seen


def same(seen: Sequence[Sight], expected: Sequence[Sight]) -> bool:
    """Equal everywhere; a disk that one of the two could not read counts as equal, but some must be read."""
    pairs = list(zip(seen, expected, strict=True))
    both = [(a.content, b.content) for a, b in pairs if a.content and b.content]
    assert both
    rest = all((a.position, a.number, a.registers) == (b.position, b.number, b.registers) for a, b in pairs)
    return rest and all(a == b for a, b in both)


async def readable(replay: Replay, position: Position, out: Path) -> Position:
    """The first place from ``position`` on, in steps, where the guest's disk can be read; the end if there is none."""
    await replay.seek(position)
    while await disk_content(replay, out) is None and replay.position < replay.timeline.end:
        await replay.stepi(100)
    return replay.position


async def save_soon(replay: Replay, name: str) -> None:
    """Keep a snapshot at the cursor, or at the next place where QEMU can."""
    while True:
        try:
            await replay.snapshot(name)
            return
        except SnapshotNotNow:
            await replay.stepi(100)


def test_the_disk_travels_with_the_machine(disk_guest: DiskGuest, tmp_path: Path) -> None:
    before = digest(disk_guest.image), digest(disk_guest.cdrom)
    recording = Path(shutil.copytree(disk_guest.recording, tmp_path / "recording"))
    out = tmp_path / "disk"

    async def first() -> list[Sight]:
        async with await Replay.open(recording) as replay:
            end = replay.timeline.end.icount
            shares = [Position(replay.timeline.landing_before(Position(end * n // 100))) for n in (96, 97, 98, 99)]
            forward = await observe(replay, disk_guest, [await readable(replay, place, out) for place in shares], out)
            numbers = [sight.number for sight in forward]
            # How fast the host's disk was decides how many writes there are between two places.
            assert numbers == sorted(numbers)
            assert 0 < numbers[0] < numbers[-1]
            await replay.seek(forward[0].position)
            await save_soon(replay, "one")
            return forward

    async def second(forward: Sequence[Sight]) -> None:
        async with await Replay.open(recording) as replay:
            await replay.seek(forward[1].position)
            # The machine itself started on a snapshot, and takes two: changes are merged, older tags dropped.
            await save_soon(replay, "two")
            await replay.seek(forward[2].position)
            await save_soon(replay, "three")
            await check_tags(replay, recording)
            backward = await observe(replay, disk_guest, [item.position for item in forward[::-1]], out)
            assert same(backward, forward[::-1])

    async def third(forward: Sequence[Sight]) -> None:
        async with await Replay.open(recording) as replay:
            jumps = [forward[index] for index in (2, 0, 3, 1, 0, 3, 2)]
            assert same(await observe(replay, disk_guest, [item.position for item in jumps], out), jumps)

    forward = asyncio.run(first())
    asyncio.run(second(forward))
    asyncio.run(third(forward))
    assert (digest(disk_guest.image), digest(disk_guest.cdrom)) == before


async def check_tags(replay: Replay, recording: Path) -> None:
    named = [known for known in replay.timeline.snapshots if known.kind is SnapshotKind.NAMED]
    # Where the disk is busy they may lie a good deal before the place that was asked for.
    assert {known.name for known in named} == {"one", "two", "three"}
    disk = replay.recording.manifest.invocation.disks[0]
    base = Base(recording / "disks/0.qcow2", image_node(disk, Path(disk.source)))
    for known in named:
        node = disk_through_scratch("disk", base, None, recording / known.files[-1])
        answer = await run_qemu_img(
            "info", "-U", "--output=json", "json:" + json.dumps({**unlocked(node), "backing": None})
        )
        # Each one more would keep old clusters; a mapped one needs none.
        tags = [item["name"] for item in json.loads(answer).get("snapshots", ())]
        assert tags == ([] if known.mapped else [known.tag])
