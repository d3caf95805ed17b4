"""What the host may do to us: full disks, few descriptors, long paths, folders that cannot be written."""

from __future__ import annotations

import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, bare_metal
from tests.processes import qemus_in


def limited(cli: Cli, kind: int, limit: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``rrdbg`` with a limit of its process, which its QEMU inherits."""
    code = (
        f"import resource, os, sys; resource.setrlimit({kind}, ({limit}, {limit})); "
        "os.execv(sys.executable, [sys.executable, '-m', 'rrdbg', *sys.argv[1:]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=cli.environment(), capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_no_room_for_a_recording(cli: Cli, heapbug_guest: Path, tmp_path: Path) -> None:
    """From the very start; where the room gets less while it is made, it ends in good order."""
    place = tmp_path / "recording"
    words = ("record", "-o", str(place), "--", *bare_metal(heapbug_guest))
    done = limited(cli, resource.RLIMIT_FSIZE, 300_000, *words)
    assert done.returncode == 1
    # In the words of 7.2, and those of 10.0 where it is writing RAM.
    assert re.search(r"rrdbg: QEMU did not start: .*(while writing VM state|ram_save_setup failed): Input", done.stderr)
    assert not place.exists()


def test_no_room_for_snapshots(cli: Cli, copied: Path) -> None:
    """They only save time: a travel goes on without."""
    done = limited(
        cli, resource.RLIMIT_FSIZE, 400_000, "replay", "--no-gdb", str(copied), "--batch",
        "-ex", "seek 50%", "-ex", "snapshot here", "-ex", "info registers rip",
    )  # fmt: skip
    assert done.returncode == 1
    assert "snapshot" in done.stderr
    cli.replay(copied, "seek 50%", "snapshot here", "info registers rip")


@pytest.mark.parametrize("most", [8, 12, 17])
def test_few_descriptors(cli: Cli, copied: Path, most: int) -> None:
    done = limited(
        cli, resource.RLIMIT_NOFILE, most, "replay", "--no-gdb", str(copied), "--batch",
        "-ex", "seek 10%", "-ex", "reverse-stepi",
    )  # fmt: skip
    if done.returncode:
        assert "Too many open files" in done.stderr or "many open files" in done.stderr
    assert not qemus_in(copied)
    cli.replay(copied, "seek 10%")


def test_paths_too_long_for_a_socket(cli: Cli, copied: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 20) / ("er" * 30)
    deep.mkdir(parents=True)
    far = Path(shutil.copytree(copied, deep / "recording"))
    words = ("replay", str(far), "--batch", "-ex", "bt")
    done = cli(*words, TMPDIR=str(deep), XDG_RUNTIME_DIR=str(deep), RRDBG_DIR=str(deep))
    assert "#0" in done.stdout
    refused = cli("serve", str(far), "--listen", f"unix:{deep}/socket", check=2).stderr
    assert "too long" in refused


@pytest.mark.parametrize(("number", "busy"), [(signal.SIGTERM, False), (signal.SIGHUP, True)])
def test_a_signal_ends_it_in_order(cli: Cli, copied: Path, number: signal.Signals, busy: bool) -> None:
    """While it waits for the next line, and in the middle of a movement; nothing is left behind."""
    with subprocess.Popen(
        [sys.executable, "-m", "rrdbg", "replay", str(copied)], env=cli.environment(), text=True, bufsize=1,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write("seek 10%\nbookmark here\nseek 20%\n")
        while "(20.0%)" not in process.stdout.readline():
            pass
        if busy:
            process.stdin.write("stepi 1e6\n")
        process.send_signal(number)
        assert process.wait(30) == 128 + number
        assert process.stderr.read() == ""
    assert not qemus_in(copied)
    assert not (copied / "scratch").exists()
    cli.replay(copied, "seek @here")


def test_two_shells_on_one_recording(cli: Cli, copied: Path) -> None:
    with cli.popen("serve", str(copied), "--listen", "unix") as process:
        try:
            assert process.stdout is not None
            assert "Serving" in process.stdout.readline()
            before = sorted(path.name for path in (copied / "snapshots").iterdir())
            assert "another rrdbg" not in cli("replay", "--batch", "--no-gdb", str(copied)).stderr
            assert "Packed" in cli("pack", str(copied), "--output", str(copied.parent / "packed.tar.gz")).stdout
            for words in (("index",), ("rm",)):
                said = cli(*words, str(copied), check=1).stderr
                assert f"is in use by another rrdbg (pid {process.pid})" in said
            assert "replay_init" in cli("info", str(copied)).stdout, "to look at it is no use of it"
            laid = {"1.state", "1.pages"}  # just behind the start, by who has moved
            assert {path.name for path in (copied / "snapshots").iterdir()} == {*before, *laid}
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    cli.replay(copied, "when")
