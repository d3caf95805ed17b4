"""A recording that comes from elsewhere: opened if it is only a machine, refused otherwise, and trusted on demand."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli, bare_metal


@pytest.fixture
def own(cli: Cli, heapbug_guest: Path, tmp_path: Path) -> Path:
    """A recording of this user's, with an image that lies outside of it."""
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))
    directory = tmp_path / "own"
    drive = f"file={image},format=raw,if=ide"
    cli(
        "record",
        "--no-check",
        "-o",
        str(directory),
        "--max-icount",
        "100000",
        "--",
        *bare_metal(heapbug_guest),
        "-drive",
        drive,
    )
    return directory


def test_ones_own_may_be_anywhere_and_do_anything(cli: Cli, own: Path, tmp_path: Path) -> None:
    assert "100%" not in cli.replay(own, "info registers rip")
    moved = own.rename(tmp_path / "moved")
    cli.replay(moved, "info registers rip")
    # The same for somebody else, who knows nothing of it.
    refused = cli.replay(moved, "when", check=1, XDG_STATE_HOME=str(tmp_path / "other"))
    assert "its disk 0 is" in refused
    assert "a file outside of the recording" in refused
    assert "--trust" in refused
    done = cli("replay", "--no-gdb", "--trust", str(moved), "--batch", XDG_STATE_HOME=str(tmp_path / "other"))
    assert done.stdout
    cli.replay(moved, "when", XDG_STATE_HOME=str(tmp_path / "other"))
    assert (tmp_path / "other/rrdbg/trusted").stat().st_mode & 0o777 == 0o600


def test_an_archive_needs_no_trust(cli: Cli, own: Path, tmp_path: Path) -> None:
    cli("pack", str(own), "-o", str(tmp_path / "packed"))
    (tmp_path / "image").unlink()
    cli("unpack", str(tmp_path / "packed"), "-o", str(tmp_path / "unpacked"))
    cli.replay(tmp_path / "unpacked", "info registers rip")


def test_an_archive_of_more_than_there_is_room_for(cli: Cli, tmp_path: Path) -> None:
    header = tarfile.TarInfo("replay.bin")
    header.size = 1 << 60
    with gzip.open(tmp_path / "bomb", "wb") as archive:
        archive.write(header.tobuf(tarfile.GNU_FORMAT))
        archive.write(bytes(1 << 20))
    said = cli("unpack", str(tmp_path / "bomb"), "-o", str(tmp_path / "one"), check=1).stderr
    assert "more than there is room for" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bomb"]


def manifest(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = path / "manifest.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def another_program(path: Path) -> None:
    program = path / "qemu-system-x86_64"
    program.write_text(f"#!/bin/sh\ntouch {path.parent}/harm\n")
    program.chmod(0o755)
    manifest(path, lambda content: content["invocation"].update(binary=str(program)))


def an_option(path: Path) -> None:
    option = {"name": "chardev", "value": f"file,id=x,path={path.parent}/harm"}
    manifest(path, lambda content: content["invocation"]["options"].append(option))


def a_backing_file(path: Path) -> None:
    initial = path / "snapshots" / "initial.qcow2"
    subprocess.run(("qemu-img", "rebase", "-u", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", initial), check=True)


def a_link(path: Path) -> None:
    kernel = path / "files" / "kernel"
    kernel.unlink()
    kernel.symlink_to("/etc/passwd")


def data_elsewhere(path: Path) -> None:
    other = path / "snapshots" / "other.qcow2"
    data = ("-o", f"data_file={path.parent}/harm,data_file_raw=on")
    subprocess.run(("qemu-img", "create", "-q", "-f", "qcow2", *data, other, "1M"), check=True)
    (path.parent / "harm").unlink()


def a_file_of_the_hosts(path: Path) -> None:
    manifest(path, lambda content: content["checksums"].update({"../../../etc/passwd": "0"}))


def numbers(path: Path) -> None:
    manifest(path, lambda content: content["invocation"]["options"].append({"name": 5, "value": 6}))


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (another_program, "it would run the program"),
        (an_option, "it would start QEMU with '-chardev file,id=x"),
        (a_backing_file, "makes QEMU open another file"),
        (data_elsewhere, "makes QEMU open another file"),
        (a_link, "is a link"),
        (a_file_of_the_hosts, "it lists the file ../../../etc/passwd"),
        (numbers, "is damaged"),
    ],
)
def test_harm_is_refused(cli: Cli, copied: Path, harm: Callable[[Path], None], why: str) -> None:
    harm(copied)
    refused = cli("replay", "--no-gdb", "--batch", str(copied), check=1).stderr
    assert why in refused
    assert "--trust" in refused or "Get the recording again" in refused
    assert not (copied.parent / "harm").exists()


def test_whatever_is_done_with_it(cli: Cli, copied: Path) -> None:
    another_program(copied)
    for command in ("index", "pack", "serve", "bisect"):
        words = ("--expr", "1") if command == "bisect" else ()
        assert "it would run the program" in cli(command, str(copied), *words, check=1).stderr
    examined = " ".join(cli("doctor", str(copied), check=1).stdout.split())
    assert "origin This recording was not made here, and it would run the program" in examined
    assert not (copied.parent / "harm").exists()


def test_a_server_is_for_this_machine_unless_told(cli: Cli, copied: Path) -> None:
    for address in ("0.0.0.0:0", "192.0.2.1:1234", "[::]:1234", ":::1"):
        assert "only with --public" in cli("serve", str(copied), "--listen", address, check=2).stderr
    with cli.popen("serve", str(copied), "--listen", "0.0.0.0:0", "--public") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert "target remote 0.0.0.0:" in process.stdout.readline()
            process.terminate()
            assert "Whoever can reach 0.0.0.0:" in process.stderr.read()
        finally:
            process.kill()


def test_unpacking_trusts_on_demand(cli: Cli, copied: Path, tmp_path: Path) -> None:
    manifest(copied, lambda content: content["invocation"]["options"].append({"name": "name", "value": "guest"}))
    state = str(tmp_path / "state")
    cli("pack", "--trust", str(copied), "-o", str(tmp_path / "packed"), XDG_STATE_HOME=state)
    cli("unpack", str(tmp_path / "packed"), "-o", str(tmp_path / "one"))
    assert "'-name guest'" in cli.replay(tmp_path / "one", "when", check=1)
    shutil.rmtree(tmp_path / "one")
    cli("unpack", "--trust", str(tmp_path / "packed"), "-o", str(tmp_path / "one"))
    cli.replay(tmp_path / "one", "when")
