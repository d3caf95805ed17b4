"""``rrdbg index``, ``verify``, ``ls``, ``info``, ``rm``, ``pack`` and ``unpack``, as a user runs them."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import tarfile
from pathlib import Path

import pytest

from tests.cli.conftest import QEMU, Cli
from tests.cli.test_record import wait_until
from tests.guests.build import run_tool
from tests.processes import qemus_in


def snapshots(cli: Cli, recording: Path) -> list[dict[str, object]]:
    output = cli("replay", "--no-gdb", str(recording), "--batch", "--json", "-ex", "info snapshots").stdout
    listed: list[dict[str, object]] = json.loads(output.splitlines()[-1])["snapshots"]
    return listed


def test_index_and_verify(cli: Cli, copied: Path) -> None:
    done = cli("index", str(copied))
    assert done.stdout.startswith("Indexed: ")
    content = json.loads(cli("verify", str(copied), "--json").stdout)
    assert content["proved"] == content["snapshots"] >= 1
    assert content["unsound"] == []
    assert all(item["sound"] for item in snapshots(cli, copied))


def test_verify_tells_of_a_bad_snapshot(cli: Cli, copied: Path) -> None:
    cli.replay(copied, "seek 50%", "snapshot half")
    # A busy machine may have laid one more on the way.
    (half,) = (item for item in snapshots(cli, copied) if item["name"] == "half")
    assert isinstance(half["files"], list)
    (copied / half["files"][0]).write_bytes(b"nonsense")
    # It is not the file that was written here. Trusted all the same, it is looked at.
    done = cli("verify", "--trust", str(copied), check=1)
    assert "is not sound" in done.stderr
    assert "cannot be read" in done.stderr
    # It is the user's, so it stays, and nobody trusts it.
    assert {item["name"]: item["sound"] for item in snapshots(cli, copied)} == {None: True, "half": False}
    assert "(50.0%)" in cli.replay(copied, "seek 50%", "stepi", "rsi")


@pytest.mark.parametrize("budget", ["much", "4X", "-1"])
def test_a_budget_that_is_none(cli: Cli, copied: Path, budget: str) -> None:
    done = cli("index", str(copied), f"--snapshot-budget={budget}", check=2)
    assert "is not a size; write for example 4G" in done.stderr


def test_an_interrupted_index_says_what_it_kept(cli: Cli, copied: Path) -> None:
    process = cli.popen("index", str(copied))
    try:
        # A QEMU that is stopped makes the pass last until the signal.
        wait_until(lambda: bool(qemus_in(copied)))
        for pid in pids_of_qemus(copied):
            os.kill(pid, signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "while indexing the recording; what was made is kept.\n" in errors
    assert not qemus_in(copied)
    assert cli("verify", str(copied)).stdout.startswith("Verified: ")


def pids_of_qemus(directory: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        words = entry.read_bytes().split(b"\0")
        if words[0].endswith(b"qemu-system-x86_64") and bytes(directory) in b" ".join(words):
            found.append(int(entry.parent.name))
    return found


def test_ls_info_rm(cli: Cli, heapbug_recording: Path) -> None:
    assert "There are no recordings in" in cli("ls").stdout
    cli.root.mkdir(parents=True, exist_ok=True)
    shutil.copytree(heapbug_recording, cli.root / "one")
    shutil.copytree(heapbug_recording, cli.root / "two")
    (cli.root / "two" / "manifest.json").write_text("{")
    listing = cli("ls").stdout
    assert "one" in listing
    assert "damaged: " in listing
    first = json.loads(cli("ls", "--json").stdout.splitlines()[0])
    assert (first["name"], first["snapshots"]) == ("one", 1)
    info = json.loads(cli("info", "one", "--json").stdout)
    assert info["facts"]["instructions"] == first["instructions"] > 1_000_000
    assert "instructions" in cli("info", "one").stdout
    assert "There is no recording three" in cli("rm", "one", "three", check=1).stderr
    assert (cli.root / "one").exists()
    cli("rm", "one", "two")
    assert "There are no recordings in" in cli("ls").stdout


def test_a_name_without_its_number_is_the_newest(cli: Cli, heapbug_recording: Path) -> None:
    for number in (2, 9, 10):
        shutil.copytree(heapbug_recording, cli.root / f"boot-{number}")
    shutil.copytree(cli.root / "boot-2", cli.root / "boot-two")
    (cli.root / "boot-11").mkdir()
    assert json.loads(cli("info", "boot", "--json").stdout)["facts"]["directory"].endswith("/boot-10")
    assert "There is no recording bo," in cli("info", "bo", check=1).stderr
    # Nobody loses one that he has not named.
    assert "There is no recording boot," in cli("rm", "boot", check=1).stderr


def test_a_recording_in_use_is_not_removed_but_told_about(cli: Cli, copied: Path) -> None:
    process = cli.popen("serve", str(copied), "--listen", f"unix:{copied.parent / 'socket'}")
    try:
        assert process.stdout
        assert "Serving" in process.stdout.readline()
        assert "in use by another rrdbg" in cli("rm", str(copied), check=1).stderr
        assert "instructions" in cli("info", str(copied)).stdout
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    cli("rm", str(copied))
    assert not copied.exists()


def test_packed_and_unpacked_elsewhere(cli: Cli, copied: Path, tmp_path: Path) -> None:
    cli.replay(copied, "seek 50%", "snapshot half", "bookmark here")
    before = cli.replay(copied, "seek @here", "info registers").splitlines()[2:]
    archive = tmp_path / "packed.rrdbg.tar.gz"
    assert "Packed" in cli("pack", str(copied), "-o", str(archive)).stdout
    assert "exists already" in cli("pack", str(copied), "-o", str(archive), check=2).stderr
    shutil.rmtree(copied)
    cli("unpack", "--trust", str(archive))
    (unpacked,) = (path for path in cli.root.iterdir() if (path / "manifest.json").exists() and not path.is_symlink())
    assert cli.replay(unpacked, "seek @here", "info registers").splitlines()[2:] == before
    assert [item["name"] for item in snapshots(cli, unpacked)] == [None, "half"]
    # Of whoever is not trusted the words are taken, and not the states.
    cli("unpack", str(archive), "-o", str(tmp_path / "foreign"))
    told = cli.replay(tmp_path / "foreign", "seek @half", "seek @here", "info registers")
    assert "1 of the snapshots" in told
    assert before[-1] in told
    assert {item["name"] for item in snapshots(cli, tmp_path / "foreign")} == {None}


def test_the_disk_images_go_with_a_packed_recording(cli: Cli, tmp_path: Path) -> None:
    disk = tmp_path / "outside" / "disk.img"
    disk.parent.mkdir()
    disk.write_bytes(os.urandom(1 << 20))
    recording = tmp_path / "recording"
    command = (QEMU, "-m", "16M", "-nodefaults", "-display", "none", "-drive", f"file={disk},format=raw,if=ide")
    cli("record", "--no-check", "-o", str(recording), "--max-icount", "1e6", "--", *command)
    before = cli.replay(recording, "seek 50%", "info registers").splitlines()[1:]
    archive = tmp_path / "packed.rrdbg.tar.gz"
    cli("pack", str(recording), "-o", str(archive))
    shutil.rmtree(recording)
    shutil.rmtree(disk.parent)
    other = tmp_path / "other"
    cli("unpack", str(archive), "-o", str(other))
    assert cli.replay(other, "seek 50%", "info registers").splitlines()[1:] == before


@pytest.mark.parametrize("named_by", ["image", "command line"])
def test_an_image_over_another_one_is_not_packed(cli: Cli, tmp_path: Path, named_by: str) -> None:
    base, image = tmp_path / "base.img", tmp_path / "image.qcow2"
    base.write_bytes(bytes(1 << 20))
    run_tool("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "raw", str(image))
    words = ["-drive", f"file={image},if=virtio"]
    if named_by == "command line":
        run_tool("qemu-img", "rebase", "-u", "-b", "", str(image))
        below = f"backing.driver=raw,backing.file.driver=file,backing.file.filename={base}"
        node = f"qcow2,node-name=d,file.driver=file,file.filename={image},{below}"
        words = ["-blockdev", node, "-device", "virtio-blk-pci,drive=d"]
    cli("record", "--name", "over", "--timeout", "1", "--", QEMU, "-m", "16", "-nodefaults", "-nographic", *words)
    done = cli("pack", "over-1", "--output", str(tmp_path / "over.tar.gz"), check=None)
    assert done.returncode != 0
    assert "has a backing file" in done.stderr
    assert not (tmp_path / "over.tar.gz").exists()


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "scratch/x", "snapshots/../../escaped"])
def test_an_archive_cannot_write_elsewhere(cli: Cli, copied: Path, tmp_path: Path, name: str) -> None:
    archive = tmp_path / "evil.rrdbg.tar.gz"
    with tarfile.open(archive, "w:gz") as made:
        made.add(copied / "manifest.json", "manifest.json")
        header = tarfile.TarInfo(name)
        header.size = 4
        made.addfile(header, io.BytesIO(b"evil"))
    target = tmp_path / "target"
    done = cli("unpack", str(archive), "-o", str(target), check=1)
    assert "nothing that a packed recording has" in done.stderr
    assert not target.exists()
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize("command", ["info", "events"])
def test_what_looks_only_tells_of_a_snapshot_that_is_missing(cli: Cli, copied: Path, command: str) -> None:
    (copied / "snapshots" / "initial.qcow2").unlink()
    assert "The recording is incomplete: " in cli(command, str(copied), check=1).stderr


@pytest.mark.parametrize("damage", ["truncated", "foreign", "missing"])
def test_an_archive_that_is_none(cli: Cli, copied: Path, tmp_path: Path, damage: str) -> None:
    archive = tmp_path / "packed.rrdbg.tar.gz"
    cli("pack", str(copied), "-o", str(archive))
    if damage == "missing":
        archive.unlink()
    else:
        archive.write_bytes(archive.read_bytes()[:5000] if damage == "truncated" else b"something else")
    target = tmp_path / "target"
    assert "Cannot unpack" in cli("unpack", str(archive), "-o", str(target), check=1).stderr
    assert not target.exists()
    assert not list(tmp_path.glob(".target*"))


def test_events_are_counted_and_listed(cli: Cli, workload_recording: Path) -> None:
    counted = [json.loads(line) for line in cli("events", str(workload_recording), "--json").stdout.splitlines()]
    interrupts = next(item for item in counted[0]["counts"] if item["kind"] == "interrupt")
    listed = cli("events", str(workload_recording), "--kind", "interrupt").stdout.splitlines()
    assert len(listed) == interrupts["count"]
    later = cli("events", str(workload_recording), "--kind", "int", "--from", "50%", "--to", "90%").stdout.splitlines()
    assert later == [line for line in listed if line in later]
    assert 0 < len(later) < len(listed)
    shown = cli("events", str(workload_recording), "--kind", "int", "--kind", "shutdown", "--json").stdout.splitlines()
    kinds = {json.loads(line)["events"][0]["kind"] for line in shown}
    assert kinds == {"interrupt", "shutdown"}
    assert "is not a kind of event" in cli("events", str(workload_recording), "--kind", "x", check=2).stderr


def test_the_console_is_printed_with_positions(cli: Cli, workload_recording: Path) -> None:
    lines = cli("console", str(workload_recording)).stdout.splitlines()
    assert lines[0].endswith("  workload: up")
    assert lines[-1].endswith("  workload: done")
    icounts = [int(line.split()[0].replace(",", "")) for line in lines]
    assert icounts == sorted(icounts)
