"""The main job on a Linux kernel that really boots: record it, and travel in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import QEMU, Cli
from tests.guests.linux import QEMU_OPTIONS, LinuxGuest

pytestmark = [pytest.mark.linux, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def linux_recording(tmp_path_factory: pytest.TempPathFactory, linux_guest: LinuxGuest) -> Path:
    root = tmp_path_factory.mktemp("linux")
    done = Cli(root)(
        "record", "--no-check", "-o", str(root / "linux"), "--", QEMU, *QEMU_OPTIONS, "-nographic", "-no-reboot",
        "-kernel", str(linux_guest.kernel), "-initrd", str(linux_guest.initrd), "-append", linux_guest.cmdline,
    )  # fmt: skip
    assert "rrdbg-guest: done" in done.stdout
    assert "the guest powered off" in done.stderr
    return root / "linux"


def stops(cli: Cli, recording: Path, *commands: str) -> list[dict[str, object]]:
    words = [word for command in commands for word in ("-ex", command)]
    done = cli("replay", "--no-gdb", str(recording), "--batch", "--json", *words)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_from_the_end_backwards_and_forth(cli: Cli, linux_recording: Path) -> None:
    results = stops(
        cli, linux_recording,
        "info registers", "reverse-stepi 1000", "stepi 1000", "info registers",
        "seek 50%", "info registers", "reverse-stepi", "reverse-stepi 5000", "stepi 5001", "info registers",
    )  # fmt: skip
    registers = [result["values"] for result in results if result["kind"] == "registers"]
    assert registers[0] == registers[1]
    assert registers[2] == registers[3] != registers[0]


def test_a_hot_breakpoint_is_found_backwards(cli: Cli, linux_recording: Path) -> None:
    """The pc in the middle of the boot lies in a loop; going back and coming forth meets the same places."""
    results = stops(cli, linux_recording, "seek 50%", "break *$pc", "rc", "rc", "c", "c")
    _first, middle, back1, back2, forth1, forth2 = (
        result["stop"]["position"]["icount"]  # type: ignore[index]
        for result in results
        if result["kind"] == "stopped"
    )
    assert back2 < back1 < middle
    assert (forth1, forth2) == (back1, middle)
