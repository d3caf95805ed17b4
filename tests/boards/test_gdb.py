"""A GDB that knows the guest is found; without one the shell goes on, and says what to install."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.boards.conftest import Recorded
from tests.cli.conftest import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "library")


@pytest.fixture
def only_own(tmp_path: Path) -> str:
    """A PATH with a GDB that knows the host alone, as Debian's is."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in ("qemu-system-arm", "qemu-system-x86_64", "qemu-img", "setpriv"):
        (folder / program).symlink_to(str(shutil.which(program)))
    (folder / "gdb").write_text(
        '#!/bin/sh\ncase "$*" in *set\\ architecture*) echo \'Undefined item: "arm".\'; exit 1;; esac\n'
        "echo 'GNU gdb (GDB) 13.1'; echo 42\n"
    )
    (folder / "gdb").chmod(0o755)
    return str(folder)


def test_f1_a_gdb_that_knows_the_guest_is_chosen(cli: Cli, recorded: Recorded, tmp_path: Path) -> None:
    copy = shutil.copytree(recorded("a32"), tmp_path / "copy")
    done = cli(
        "replay", str(copy), "--at", "start", "--batch", "-ex", "tbreak *_start+4", "-ex", "continue", "-ex", "x/2i $pc"
    )
    assert "<_start+4>:\tyield" in done.stdout
    assert not done.stderr
    done = cli("gdb", str(copy), "--", "-batch", "-ex", "tbreak *_start+4", "-ex", "continue")
    assert "Temporary breakpoint 1, 0x40008004 in _start ()" in done.stdout


def test_f1_without_one_the_shell_goes_on(cli: Cli, recorded: Recorded, tmp_path: Path, only_own: str) -> None:
    copy = shutil.copytree(recorded("a32"), tmp_path / "copy")
    done = cli("replay", str(copy), "--at", "start", "--batch", "-ex", "stepi 3", "-ex", "reverse-stepi", PATH=only_own)
    assert done.stderr.count("gdb does not know arm guests; on Debian: apt-get install gdb-multiarch.") == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout.splitlines()[-1].startswith("2 (")
    named = cli("replay", str(copy), "--gdb", "gdb", "--batch", PATH=only_own, check=1)
    assert "gdb does not know arm guests" in named.stderr
    assert "gdb-multiarch" in cli("gdb", str(copy), PATH=only_own, check=1).stderr
    assert "--gdb" in cli("replay", str(copy), "--gdb", "nogdb", "--batch", PATH=only_own, check=1).stderr
    assert "No GDB here knows arm, x86_64 guests" in " ".join(cli("doctor", PATH=only_own).stdout.split())


def test_f1_symbols_of_another_architecture_are_refused(cli: Cli, recorded: Recorded, workload_guest: Path) -> None:
    refused = cli("replay", str(recorded("a32")), "--symbols", str(workload_guest), "--batch", check=2)
    assert (
        refused.stderr
        == f"rrdbg: {workload_guest} is for x86_64, and this is a guest of arm; give the file of its own program.\n"
    )
    assert "is no ELF file" in cli("replay", str(recorded("a32")), "--symbols", __file__, "--batch", check=2).stderr
