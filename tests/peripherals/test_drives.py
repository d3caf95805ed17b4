"""Disks given in every way that QEMU has, and the four ways to keep what the guest writes to them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.model.timeline.line import Timeline
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from tests.guests.build import QEMU_OPTIONS, run_tool
from tests.keeper.conftest import boot_sector
from tests.matrix.jumps import forward, is_exact, places, settled_digest
from tests.peripherals.states import assert_travels, states

FIRMWARE = Path("/usr/share/seabios/bios-256k.bin")
WRITES = "." * 6
"""What the guests print: one dot for some writes that were read back."""


@dataclass(frozen=True)
class Images:
    """A disk that boots and writes itself, as a raw image and as qcow2."""

    raw: Path
    qcow2: Path


@pytest.fixture
def images(tmp_path: Path) -> Images:
    sector, _ = boot_sector(tmp_path, Path(__file__).parents[1] / "keeper" / "guest" / "disk.S")
    raw = tmp_path / "disk.img"
    raw.write_bytes(sector.ljust(1 << 20, b"\0"))
    run_tool("qemu-img", "convert", "-O", "qcow2", str(raw), str(tmp_path / "disk.qcow2"))
    return Images(raw, tmp_path / "disk.qcow2")


def digests(*paths: Path) -> list[str]:
    return [hashlib.blake2b(path.read_bytes()).hexdigest() for path in paths]


def record(directory: Path, *words: str, **options: object) -> Path:
    command = ("qemu-system-x86_64", *QEMU_OPTIONS, "-serial", "stdio", *words)
    request = RecordRequest(command, directory, until_console=WRITES, timeout=60, **options)  # type: ignore[arg-type]
    done = asyncio.run(Recorder(request).run())
    assert "printed" in done.ended
    return done.directory


def travels_and_writes_nothing(directory: Path, files: Sequence[Path], *words: str) -> None:
    before = digests(*files)
    asyncio.run(assert_travels(record(directory, *words)))
    assert digests(*files) == before


def test_a_graph_of_block_nodes(images: Images, tmp_path: Path) -> None:
    file = {"driver": "file", "filename": str(images.qcow2), "node-name": "file"}
    travels_and_writes_nothing(
        tmp_path / "recording",
        [images.qcow2],
        *("-blockdev", json.dumps(file), "-blockdev", "driver=qcow2,file=file,node-name=disk"),
        *("-device", "virtio-blk-pci,drive=disk"),
    )


def test_an_overlay_that_the_graph_itself_describes(images: Images, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.qcow2"
    # Its own header tells of another image: the graph has to be followed.
    run_tool("qemu-img", "create", "-q", "-f", "qcow2", str(overlay), "1M")
    node = f"driver=qcow2,node-name=disk,file.driver=file,file.filename={overlay}"
    below = f"backing.driver=raw,backing.file.driver=file,backing.file.filename={images.raw}"
    travels_and_writes_nothing(
        tmp_path / "recording",
        [images.raw, overlay],
        *("-machine", "q35", "-blockdev", f"{node},{below}", "-device", "ide-hd,drive=disk"),
    )


def test_a_blkreplay_as_qemus_documentation_gives_it(images: Images, tmp_path: Path) -> None:
    travels_and_writes_nothing(
        tmp_path / "recording",
        [images.raw],
        *("-drive", f"file={images.raw},format=raw,if=none,id=direct"),
        *("-drive", "driver=blkreplay,if=none,image=direct,id=replayed", "-device", "virtio-scsi-pci"),
        *("-device", "scsi-hd,drive=replayed"),
    )


@pytest.mark.parametrize("way", ["drive", "blockdev"])
def test_a_floppy_disk_and_flash_memory(tmp_path: Path, way: str) -> None:
    sector, _ = boot_sector(tmp_path, Path(__file__).parent / "guest" / "waiting.S")
    floppy, flash = tmp_path / "floppy.img", tmp_path / "flash.img"
    floppy.write_bytes(sector.ljust(1440 << 10, b"\0"))
    flash.write_bytes(b"\xff" * (128 << 10))
    words = {
        "drive": (
            *("-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE}"),
            *("-pflash", str(flash), "-fda", str(floppy)),
        ),
        "blockdev": (
            *("-blockdev", f"driver=file,filename={FIRMWARE},node-name=code,read-only=on"),
            *("-blockdev", f"driver=raw,file.driver=file,file.filename={flash},node-name=data"),
            *("-machine", "pflash0=code,pflash1=data"),
            *("-blockdev", f"driver=file,filename={floppy},node-name=floppy", "-device", "floppy,drive=floppy"),
        ),
    }[way]
    travels_and_writes_nothing(tmp_path / "recording", [floppy, flash, FIRMWARE], *words)


def test_snapshots_while_requests_are_under_way(
    images: Images, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a hundred saves two hung with QEMU 10, where the host was still busy with a request."""
    recording = record(tmp_path / "recording", "-drive", f"file={images.qcow2},if=virtio")

    async def travel() -> None:
        wanted = places(timeline(recording), 6, seed=3)
        expected = await forward(recording, wanted, settled_digest)
        async with await Replay.open(recording, spacing=0.004) as replay:
            await replay.seek(replay.timeline.end)
            periodic = replay.timeline.snapshots[1:]
            assert len(periodic) > 8
            assert all(snapshot.mapped for snapshot in periodic)
            # Not the end: what is under way there comes into memory or does not, as no event of the log is left for it.
            for place in wanted:
                assert await is_exact(replay, place, expected, settled_digest), f"at {place}"

    asyncio.run(travel())
    assert not [entry for entry in caplog.records if "hung" in entry.message]


def timeline(recording: Path) -> Timeline:
    with Recording.open(recording) as opened:
        return load_timeline(opened)


def test_an_overlay_of_the_users(images: Images, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.qcow2"
    run_tool("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(images.raw), str(overlay))
    travels_and_writes_nothing(tmp_path / "recording", [images.raw, overlay], "-drive", f"file={overlay},if=virtio")


@pytest.mark.parametrize("overlay", [False, True])
def test_an_image_that_is_used_itself_gets_the_snapshot(images: Images, tmp_path: Path, overlay: bool) -> None:
    image = images.qcow2
    if overlay:
        image = tmp_path / "overlay.qcow2"
        run_tool("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(images.raw), str(image))
    recording = record(tmp_path / "recording", "-hda", str(image), in_place=True, tag="day one")
    (snapshot,) = json.loads(run_tool("qemu-img", "info", "--output=json", str(image)))["snapshots"]
    assert snapshot["name"] == "day one"
    assert snapshot["icount"] == 0
    before = digests(image, images.raw)
    asyncio.run(assert_travels(recording))
    assert digests(image, images.raw) == before
    with pytest.raises(UsageError, match="has a snapshot 'day one' already"):
        record(tmp_path / "second", "-hda", str(image), in_place=True, tag="day one")


def test_only_a_qcow2_can_be_used_itself(images: Images, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs qcow2 images"):
        record(tmp_path / "raw", "-hda", str(images.raw), in_place=True)
    with pytest.raises(UsageError, match="there is none"):
        record(tmp_path / "none", in_place=True)
    with pytest.raises(UsageError, match="--no-snapshot"):
        record(tmp_path / "neither", "-hda", str(images.qcow2), in_place=True, tag=None)


def test_a_recording_without_an_initial_snapshot(images: Images, tmp_path: Path) -> None:
    before = digests(images.raw)
    recording = record(tmp_path / "recording", "-hda", str(images.raw), tag=None)
    forward = asyncio.run(assert_travels(recording))
    assert digests(images.raw) == before
    # What the guest wrote while it was recorded is not needed, and gone.
    assert sorted(path.name for path in recording.glob("disks/*")) == ["0.qcow2"]
    (recording / "timeline.json").unlink()
    assert asyncio.run(states(recording, (99,)))[99] == forward[99]
    with Recording.open(recording) as opened:
        assert opened.manifest.initial_tag == ""
