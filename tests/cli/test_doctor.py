"""``rrdbg doctor``: what it says of this machine, of recordings and of guests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import QEMU, Cli, bare_metal
from tests.guests.build import run_tool

Findings = list[dict[str, str]]


def examine(cli: Cli, *words: str, check: int = 0, **environment: str) -> dict[str, Any]:
    answer = json.loads(cli("doctor", "--json", *words, check=check, **environment).stdout)
    assert answer["kind"] == "examination"
    assert answer["fit"] == (check == 0)
    for finding in answer["findings"]:
        assert finding["what"]
        assert finding["remedy"] or finding["level"] != "wrong"
    return dict(answer)


def wrong(answer: dict[str, Any], topic: str) -> str:
    """The one thing that is wrong, which must be of ``topic``."""
    (finding,) = [finding for finding in answer["findings"] if finding["level"] == "wrong"]
    assert finding["topic"] == topic
    return str(finding["what"])


def found(answer: dict[str, Any], topic: str, level: str) -> str:
    return " ".join(item["what"] for item in answer["findings"] if (item["topic"], item["level"]) == (topic, level))


def test_this_machine_is_fit(cli: Cli) -> None:
    answer = examine(cli)
    assert "qemu-system" in found(answer, "QEMU", "good")
    assert "with Python" in found(answer, "GDB", "good")
    assert str(cli.root) in found(answer, "space", "good")
    assert not cli.root.exists(), "looking makes nothing"
    text = cli("doctor").stdout
    assert "Nothing is wrong." in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_machine_without_the_programs(cli: Cli, tmp_path: Path) -> None:
    """GDB that is none and has no Python, no QEMU, no qemu-img, no setpriv; and a folder whose name is too long."""
    programs = tmp_path / "bin"
    programs.mkdir()
    gdb = programs / "gdb"
    gdb.write_text("#!/bin/sh\necho 'GNU gdb (GDB) 13.1'\n")
    gdb.chmod(0o755)
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    answer = examine(cli, check=1, PATH=str(programs), TMPDIR=str(folder), SHELL="/bin/sh")
    levels = {(finding["topic"], finding["level"]) for finding in answer["findings"]}
    assert {("QEMU", "wrong"), ("qemu-img", "wrong")} <= levels
    assert {("GDB", "note"), ("setpriv", "note"), ("temporary files", "note")} <= levels
    assert "has no Python" in found(answer, "GDB", "note")


def test_recordings_that_cannot_be_made(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is not writable" in wrong(examine(cli, check=1, RRDBG_DIR=str(tmp_path / "file" / "x")), "recordings")


def test_a_sound_recording(cli: Cli, heapbug_recording: Path) -> None:
    answer = examine(cli, str(heapbug_recording))
    assert "replay.bin" not in wrong_topics(answer)
    assert "3 of 3 files" in found(answer, "files", "good")
    assert "proved sound" in found(answer, "snapshots", "good") + found(answer, "snapshots", "note")


def wrong_topics(answer: dict[str, Any]) -> list[str]:
    return [finding["topic"] for finding in answer["findings"] if finding["level"] == "wrong"]


def test_a_damaged_recording(cli: Cli, copied: Path) -> None:
    """All that is wrong is told, not only the first."""
    log = copied / "replay.bin"
    log.write_bytes(log.read_bytes()[:-100])
    (copied / "files" / "kernel").unlink()
    (copied / "timeline.json").write_text("{")
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["qemu_version"] = "6.0.0"
    (copied / "manifest.json").write_text(json.dumps(manifest))
    answer = examine(cli, str(copied), check=1)
    assert wrong_topics(answer) == ["log", "files", "files", "snapshots", "QEMU"]
    assert "recorded with 6.0.0" in found(answer, "QEMU", "wrong")
    assert "5 things are wrong." in cli("doctor", str(copied), check=1).stdout


def test_what_is_no_recording(cli: Cli, copied: Path) -> None:
    (copied / "manifest.json").write_text("[]")
    assert "is not a recording's manifest" in wrong(examine(cli, str(copied), check=1), "manifest")
    assert "There is no recording" in cli("doctor", "nothing", check=1).stderr


def test_a_disk_that_is_gone_or_changed(cli: Cli, tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    run_tool("qemu-img", "create", "-q", "-f", "raw", str(disk), "1M")
    recording = tmp_path / "recording"
    cli("record", "-o", str(recording), "--max-icount", "1000", "--", QEMU, "-m", "16", "-nographic", "-hda", str(disk))
    assert str(disk) in found(examine(cli, str(recording)), "disks", "good")
    os.utime(disk, (2e9, 2e9))
    assert "was changed" in found(examine(cli, str(recording)), "disks", "note")
    disk.unlink()
    assert "is missing" in wrong(examine(cli, str(recording), check=1), "disks")


def test_a_recording_in_use(cli: Cli, copied: Path) -> None:
    with subprocess.Popen(
        ("flock", str(copied / "lock"), "cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        holder.stdin.write(b"ready\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == b"ready\n"
        assert "in use by another rrdbg" in found(examine(cli, str(copied)), "access", "note")
        holder.stdin.close()


def test_a_guest_that_is_fit(cli: Cli, workload_guest: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    run_tool("qemu-img", "create", "-q", "-f", "raw", str(disk), "1M")
    answer = examine(cli, "--", *bare_metal(workload_guest), "-drive", f"file={disk},format=raw")
    assert "instructions were recorded" in found(answer, "trial", "good")
    assert "Two replays came to the same state" in found(answer, "replay", "good")
    assert "the guest came to that state, too" in found(answer, "jump", "good")
    assert answer["command"][:3] == ["rrdbg", "record", "--"]
    assert not [path for path in cli.root.glob("*") if path.name != "state"], "a trial leaves no recording"


def test_a_command_line_is_corrected_and_then_tried(cli: Cli, workload_guest: Path) -> None:
    answer = examine(cli, "--", *bare_metal(workload_guest), "-smp", "2", "-icount", "shift=1", check=1)
    assert wrong_topics(answer) == ["arguments", "arguments"]
    assert found(answer, "jump", "good")
    assert answer["command"] == ["rrdbg", "record", "--shift", "1", "--", *bare_metal(workload_guest)]


def test_a_quick_look_starts_no_guest(cli: Cli) -> None:
    answer = examine(cli, "--quick", "--", QEMU, "-kernel", "/nowhere/vmlinuz", check=1)
    assert "/nowhere/vmlinuz" in wrong(answer, "files")
    text = cli("doctor", "--quick", "--", QEMU, "-m", "16", "-smp", "2", check=1).stdout
    assert "1 thing is wrong.\nNot tried: rrdbg record -- qemu-system-x86_64 -m 16\n" in text


def test_f14_only_what_was_tried_is_proposed(cli: Cli, workload_guest: Path) -> None:
    bare = bare_metal(workload_guest)
    answer = examine(cli, "--", *bare, "-enable-kvm", "-cpu", "host", "-smp", "4", check=1)
    assert wrong_topics(answer) == ["arguments"] * 3
    assert found(answer, "jump", "good")
    assert answer["command"] == ["rrdbg", "record", "--", *bare, "-cpu", "max"]
    assert answer["tried"]
    answer = examine(cli, "--", QEMU, "-kernel", "/nowhere/vmlinuz", check=1)
    assert wrong_topics(answer) == ["files"]
    assert answer["command"] is None


@pytest.mark.parametrize(
    ("words", "topic", "reason"),
    [
        ((QEMU, "-device", "nosuchdevice"), "trial", "not a valid device model"),
        (("qemu-system-nowhere",), "QEMU", "is not installed"),
        ((QEMU, "-m"), "arguments", "needs an argument"),
    ],
)
def test_a_guest_that_is_not(cli: Cli, words: tuple[str, ...], topic: str, reason: str) -> None:
    answer = examine(cli, "--", *words, check=1)
    assert reason in wrong(answer, topic)
    assert answer["command"] is None


def test_a_guest_that_does_not_replay(cli: Cli, workload_guest: Path, tmp_path: Path) -> None:
    """A QEMU that replays with another machine than it recorded with."""
    program = tmp_path / "bin" / QEMU
    program.parent.mkdir()
    real = shutil.which(QEMU)
    program.write_text(f'#!/bin/sh\ncase "$*" in *rr=replay*) set -- "$@" -m 32M;; esac\nexec {real} "$@"\n')
    program.chmod(0o755)
    answer = examine(cli, "--", *bare_metal(workload_guest), check=1, PATH=f"{program.parent}:{os.environ['PATH']}")
    assert "It does not replay" in wrong(answer, "replay")
    assert answer["command"] is None


def test_one_thing_at_a_time(cli: Cli, heapbug_recording: Path) -> None:
    assert "not both" in cli("doctor", str(heapbug_recording), "--", QEMU, check=2).stderr
