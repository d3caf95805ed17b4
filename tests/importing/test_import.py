"""Recordings that QEMU alone made are travelled in like our own; their files are only read."""

from __future__ import annotations

import asyncio
import json
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.making.first_replay import FirstReplay
from rrdbg.engine.replay import Replay
from rrdbg.errors import Divergence, RrdbgError
from rrdbg.model.timeline.position import Position
from rrdbg.store.recording import Recording
from tests.cli.conftest import Cli
from tests.engine.conftest import Run
from tests.engine.test_oracle import (
    test_each_single_step_back,
    test_reverse_continue_with_a_watchpoint,
    test_seek,
)
from tests.guests.build import run_tool
from tests.importing.conftest import DiskImages, HandMade, with_disk
from tests.oracle import Oracle, observe

__all__ = ["test_each_single_step_back", "test_reverse_continue_with_a_watchpoint", "test_seek"]


@pytest.fixture(scope="session")
def imported(diskless: HandMade, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the import made of the recording without a disk; not to be changed."""
    before = diskless.digests()
    made = diskless.bring_in(tmp_path_factory.mktemp("imported") / "workload")
    assert diskless.digests() == before
    return made


@pytest.fixture
def replay(imported: Path, tmp_path: Path, run: Run[Any]) -> Iterator[Replay]:
    opened = run(Replay.open(Path(shutil.copytree(imported, tmp_path / "workload"))))
    yield opened
    run(opened.close())


@pytest.fixture(scope="session")
def busy(imported: Path, watched: dict[int, int]) -> Oracle:
    """A stretch with a timer interrupt and writes to variables, stepped through forward."""
    with Recording.open(imported) as recording:
        icounts = recording.log.deliveries.icounts
    return asyncio.run(observe(imported, icounts[len(icounts) // 2] - 500, 1000, watched))


@pytest.fixture
def oracle(busy: Oracle) -> Oracle:
    return busy


def test_what_an_import_has(imported: Path, diskless: HandMade) -> None:
    with Recording.open(imported) as recording:
        manifest = recording.manifest
        assert manifest.initial_tag == "day one"
        assert manifest.invocation.shift == "auto"
        assert manifest.end <= manifest.icount == recording.log.total
        assert recording.layout.console.read_bytes() == (diskless.directory / "console.log").read_bytes()
        assert recording.layout.bundled("kernel").is_file()


def test_the_clock_and_the_console_of_an_import(cli: Cli, imported: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(imported, tmp_path / "workload"))
    output = cli.replay(
        copy, 'seek console "workload: done"', "when", "snapshot here", "reverse-stepi", "info snapshots"
    )
    assert "guest time about 2026-11-22T10:0" in output
    assert "here" in output


def test_neither_a_disk_nor_a_snapshot(cli: Cli, tmp_path: Path, workload_guest: Path) -> None:
    """The plainest there is; the machine has all of QEMU's defaults but for the network, and no window."""
    words = ("-m", "16M", "-nographic", "-nic", "none", "-kernel", str(workload_guest))
    made = HandMade(tmp_path / "by-hand", words, "3")
    made.directory.mkdir()
    made.record("done")
    command = made.command("replay")
    log, elsewhere = made.directory / "replay.bin", tmp_path / "moved.bin"
    log.rename(elsewhere)
    done = cli("import", "--json", "--log", str(elsewhere), "--name", "plain", "--", *command)
    answer = json.loads(done.stdout)
    assert Path(answer["directory"]) == cli.root / "plain-1"
    assert "vapic=off" in answer["notes"][0]["what"]
    output = cli.replay(cli.root / "plain-1", "info recording", "seek 50%", "reverse-stepi", "seek 20%", "when")
    assert f"{answer['icount']:,}" in output
    assert "replay_init" in output


def raw_beneath_snapshot(directory: Path, images: DiskImages) -> HandMade:
    """The way of QEMU's documentation: nothing is written to the image, and there is no initial snapshot."""
    shutil.copy(images.raw, directory / "disk.img")
    drives = (
        "-drive", "file=disk.img,format=raw,if=none,snapshot=on,id=img-direct",
        "-drive", "driver=blkreplay,if=none,image=img-direct,id=img-blkreplay",
    )  # fmt: skip
    return with_disk(directory, *drives, images=("disk.img",))


def qcow2_with_snapshot(directory: Path, images: DiskImages) -> HandMade:
    """The guest writes to the image, which holds the initial snapshot."""
    shutil.copy(images.qcow2, directory / "disk.qcow2")
    drives = (
        "-drive", "file=disk.qcow2,if=none,id=img-direct",
        "-drive", "driver=blkreplay,if=none,image=img-direct,id=img-blkreplay",
    )  # fmt: skip
    return with_disk(directory, *drives, snapshot=",rrsnapshot=init", images=("disk.qcow2",))


def overlay_with_snapshot(directory: Path, images: DiskImages) -> HandMade:
    """The guest writes to an overlay over a raw image, and the overlay holds the initial snapshot."""
    shutil.copy(images.raw, directory / "disk.img")
    overlay = directory / "overlay.qcow2"
    run_tool("qemu-img", "create", "-q", "-f", "qcow2", "-b", "disk.img", "-F", "raw", str(overlay))
    drives = (
        "-drive", "file=overlay.qcow2,if=none,id=img-direct",
        "-drive", "driver=blkreplay,if=none,image=img-direct,id=img-blkreplay",
    )  # fmt: skip
    return with_disk(directory, *drives, snapshot=",rrsnapshot=init", images=("disk.img", "overlay.qcow2"))


def block_nodes(directory: Path, images: DiskImages) -> HandMade:
    """The guest writes to the image, which is given as block nodes; QEMU 7.2 can save no initial snapshot then."""
    shutil.copy(images.qcow2, directory / "disk.qcow2")
    drives = (
        "-blockdev", "driver=file,filename=disk.qcow2,node-name=storage",
        "-blockdev", json.dumps({"driver": "qcow2", "file": "storage", "node-name": "direct"}),
        "-blockdev", "driver=blkreplay,image=direct,node-name=img-blkreplay",
    )  # fmt: skip
    return with_disk(directory, *drives, images=("disk.qcow2",))


Kind = Callable[[Path, DiskImages], HandMade]


@pytest.mark.parametrize("kind", [raw_beneath_snapshot, qcow2_with_snapshot, overlay_with_snapshot])
def test_a_disk_that_the_guest_writes(kind: Kind, disk_images: DiskImages, tmp_path: Path) -> None:
    by_hand = tmp_path / "by-hand"
    by_hand.mkdir()
    made = kind(by_hand, disk_images).record("..")
    before = made.digests()
    recording = made.bring_in(tmp_path / "recording")
    printed = (by_hand / "console.log").read_bytes()
    assert (recording / "console.log").read_bytes() == printed
    asyncio.run(jumps_agree(recording, disk_images.number, 8 * printed.count(b".")))
    assert made.digests() == before


async def jumps_agree(recording: Path, number: int, written: int) -> None:
    """Jumps see what a walk forward saw, and at the end the guest was busy with one of eight sectors."""

    async def sight(replay: Replay, position: Position) -> tuple[int, dict[str, int]]:
        await replay.seek(position)
        found = struct.unpack("<I", await (await replay.machine()).read_physical(number, 4))
        return found[0], await replay.registers()

    async with await Replay.open(recording) as replay:
        end = replay.timeline.end.icount
        places = [Position(replay.timeline.landing_before(Position(end * n // 100))) for n in (90, 96, 98, 100)]
        forward = [await sight(replay, place) for place in places]
        assert written <= forward[-1][0] <= written + 8
        assert await sight(replay, places[0]) == forward[0]
        for index in (2, 1, 3, 0):
            assert await sight(replay, places[index]) == forward[index]


def test_a_disk_that_has_changed_since(
    disk_images: DiskImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an initial snapshot nothing tells what was on the disk, unless the user has kept a copy."""
    monkeypatch.setattr(FirstReplay, "patience", 2.0)
    by_hand = tmp_path / "by-hand"
    by_hand.mkdir()
    made = block_nodes(by_hand, disk_images).record(".")
    run_tool("qemu-io", "-c", "write -P 0 0 512", str(by_hand / "disk.qcow2"))
    with pytest.raises(Divergence, match=r"with --image a copy of .*disk.qcow2 from before the recording"):
        made.bring_in(tmp_path / "recording")
    assert not (tmp_path / "recording").exists()
    assert made.bring_in(tmp_path / "recording", images=[str(disk_images.raw)])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("-m", "32M"), "does not belong to this command line"),
        (("-machine", "q35"), "does not belong to this command line"),
        (("-device", "nosuchdevice"), "'nosuchdevice' is not a valid device model"),
    ],
)
def test_another_machine_is_noticed(
    diskless: HandMade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], reason: str
) -> None:
    monkeypatch.setattr(FirstReplay, "patience", 2.0)
    with pytest.raises(RrdbgError, match=reason) as caught:
        diskless.bring_in(tmp_path / "recording", words)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "recording").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("-loadvm", "x"), "begin one with the machine's start"),
        (("-hda", "disk.img"), "-hda disk.img is not behind blkreplay"),
        (("-drive", "file=disk.img,if=virtio"), "is not behind blkreplay"),
        (("-icount", "rrfile=nowhere.bin"), "nowhere.bin cannot be opened"),
        (("-icount", "rrfile=unfinished.bin"), "the recorder was killed"),
        (("-initrd", "nowhere"), "Cannot read .*/nowhere"),
        (("-drive", "driver=blkreplay,image.file.filename=nowhere.img"), "There is no disk image .*/nowhere.img"),
    ],
)
def test_what_cannot_be_imported_is_said(
    diskless: HandMade, tmp_path: Path, words: tuple[str, ...], reason: str
) -> None:
    (diskless.directory / "unfinished.bin").write_bytes(bytes(13))
    with pytest.raises(RrdbgError, match=reason):
        diskless.bring_in(tmp_path / "recording", words)
    assert not (tmp_path / "recording").exists()


def test_wrong_usage(cli: Cli, diskless: HandMade, tmp_path: Path) -> None:
    command = diskless.command("replay")
    assert "QEMU's command is missing" in cli("import", "--log", "replay.bin", check=2).stderr
    existing = cli(
        "import", "--log", str(diskless.directory / "replay.bin"), "-o", str(tmp_path), "--", *command, check=2
    )
    assert "exists already" in existing.stderr
