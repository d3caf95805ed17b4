"""The guests do what the other tests take for granted, in a plain QEMU without record and replay."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.guests import linux
from tests.guests.build import BUGS, GUESTS, QEMU_OPTIONS, GuestError, build, symbol
from tests.guests.linux import LinuxGuest, build_linux, make_initramfs


class PlainQemu:
    """A QEMU with the guest's first serial port on its standard output."""

    def __init__(self, *options: str) -> None:
        command = ["qemu-system-x86_64", *options, "-display", "none", "-monitor", "none", "-no-reboot"]
        self._process = subprocess.Popen(
            [*command, "-net", "none", "-serial", "stdio"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> PlainQemu:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def output_until(self, marker: str) -> str:
        """Read the console up to the line that has `marker`, or to the end (pytest's time limit applies)."""
        assert self._process.stdout is not None
        seen = ""
        for line in self._process.stdout:
            seen += line
            if marker in line:
                break
        return seen

    def wait(self, seconds: float) -> int:
        return self._process.wait(seconds)


@pytest.mark.timeout(60)
def test_workload_runs_to_its_end_and_turns_the_machine_off(workload_guest: Path) -> None:
    with PlainQemu("-kernel", str(workload_guest), *QEMU_OPTIONS, "-icount", "shift=3") as qemu:
        lines = qemu.output_until("workload: done").splitlines()
        assert lines[0].endswith("workload: up")
        assert lines[-1] == "workload: done"
        assert [line.split("counter=")[1] for line in lines[1:-1]] == [str(n) for n in range(200, 2401, 200)]
        ticks = [int(line.split()[1]) for line in lines[1:-1]]
        assert ticks == sorted(ticks), "time goes forward"
        assert ticks[-1] > 12, "the timer interrupts"
        assert qemu.wait(10) == 0


@pytest.mark.timeout(60)
@pytest.mark.parametrize("shift", [1, 3, 5, 7])
def test_heapbug_panics_the_same_way_however_fast_its_clock_runs(heapbug_guest: Path, shift: int) -> None:
    with PlainQemu("-kernel", str(heapbug_guest), *QEMU_OPTIONS, "-icount", f"shift={shift}") as qemu:
        output = qemu.output_until("PANIC")
        panic = "PANIC: bad magic in task 3 (expected 5461736b4d616769, found 5461736b4d616700)"
        assert output.splitlines()[-1] == panic
        assert "round 800 " in output, "it ran for long after the bad write"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("shift", [3, 7])
@pytest.mark.parametrize("name", BUGS)
def test_each_planted_bug_strikes_however_fast_the_clock_runs(name: str, shift: int, tmp_path: Path) -> None:
    guest = build(name, tmp_path)
    with PlainQemu("-kernel", str(guest), *QEMU_OPTIONS, "-icount", f"shift={shift}") as qemu:
        last = qemu.output_until("PANIC").splitlines()[-1]
        assert last.startswith("PANIC: ")
        assert "unexpected" not in last


@pytest.mark.linux
@pytest.mark.timeout(120)
def test_linux_boots_does_its_work_and_turns_the_machine_off(linux_guest: LinuxGuest) -> None:
    files = ("-kernel", str(linux_guest.kernel), "-initrd", str(linux_guest.initrd))
    with PlainQemu(*files, "-append", linux_guest.cmdline, *linux.QEMU_OPTIONS) as qemu:
        said = qemu.output_until("rrdbg-guest: done")
        ours = [line.partition("rrdbg-guest: ")[2] for line in said.splitlines() if "rrdbg-guest: " in line]
        assert ours[0] == "up"
        assert ours[1].startswith("Linux ")
        assert ours[2] == "b6d81b360a5672d80c27430f39153e2c  /tmp/zeroes"  # of 1 MiB of zeroes
        assert ours[4:] == ["sum 500500", "child 1", "child 2", "child 3", "done"]
        assert qemu.wait(30) == 0


def test_the_initramfs_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = make_initramfs(tmp_path / "a"), make_initramfs(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().startswith(b"070701")


def test_a_busybox_with_shared_libraries_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "busybox").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(GuestError, match="busybox needs shared libraries: install busybox-static"):
        make_initramfs(tmp_path / "initramfs")


@pytest.mark.parametrize(
    ("apt_cache", "apt_get", "sentence"),
    [
        ("echo 'E: No packages found' >&2; exit 100", "exit 1", "^apt knows no package linux-image-cloud-amd64"),
        ("echo '  Depends: linux-image-9-cloud'", "echo gone >&2; exit 100", "^cannot download linux-image-9-cloud"),
    ],
)
def test_a_kernel_that_cannot_be_had_is_said_in_one_sentence(
    apt_cache: str, apt_get: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, script in (("apt-cache", apt_cache), ("apt-get", apt_get)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(GuestError, match=sentence):
        build_linux(tmp_path / "out")
    assert not list((tmp_path / "out").iterdir()), "nothing half-made is left"


@pytest.mark.parametrize("name", GUESTS)
def test_a_build_is_reproducible_and_kept(name: str, tmp_path: Path) -> None:
    first, second = build(name, tmp_path / "a"), build(name, tmp_path / "b")
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()
    made = first.stat()
    kept = build(name, tmp_path / "a").stat()
    assert (kept.st_ino, kept.st_mtime_ns) == (made.st_ino, made.st_mtime_ns)


def test_symbols_are_found(heapbug_guest: Path) -> None:
    tasks = symbol(heapbug_guest, "tasks")
    assert tasks.address >= 0x100000
    assert tasks.size == 6 * 88
    assert symbol(heapbug_guest, "log_append").size > 0
    assert symbol(heapbug_guest, "stack_top").size == 0


def test_an_unknown_symbol_or_guest_is_named(heapbug_guest: Path, tmp_path: Path) -> None:
    with pytest.raises(GuestError, match="no symbol 'nonsense'"):
        symbol(heapbug_guest, "nonsense")
    with pytest.raises(GuestError, match="no guest called 'nonsense'"):
        build("nonsense", tmp_path)


def test_a_missing_compiler_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GuestError, match=r"^gcc is missing.*make setup`$"):
        build("workload", tmp_path)
