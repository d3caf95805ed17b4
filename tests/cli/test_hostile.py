"""A recording from elsewhere that was made to do harm, opened as a user would: each kind of case by its number."""

from __future__ import annotations

import gzip
import io
import json
import multiprocessing
import os
import resource
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rrdbg.frontends.cli.main import main
from tests.cli.conftest import Cli, bare_metal
from tests.cli.test_trust import manifest

READERS = ("info", "events", "console", "timeline", "doctor", "pack", "replay")
"""Subcommands that look into a recording."""

_MEMORY = 1 << 30


@pytest.fixture
def foreign(cli: Cli, copied: Path) -> Path:
    """``copied`` is foreign to ``cli``: its state directory is another one than where it was recorded."""
    return copied


# Hundreds are started, and Python's own start and imports, of this module too, would take most of their time.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    [__name__, *(f"rrdbg.frontends.cli.{name}" for name in ("replay", "library", "doctor", "events", "timeline"))]
)


def run(cli: Cli, *words: str, memory: int = _MEMORY, timeout: float = 20) -> subprocess.CompletedProcess[bytes]:
    """Run a subcommand that must end by itself, in bounded memory, and with no traceback."""
    with tempfile.TemporaryDirectory(dir=cli.root.parent) as folder:
        files = Path(folder) / "out", Path(folder) / "err"
        process = _processes.Process(target=_main, args=(words, cli.environment(), cli.root.parent, memory, files))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, timeout)
        output, errors = (file.read_bytes() for file in files)
    assert b"Traceback" not in errors, errors.decode()
    return subprocess.CompletedProcess(words, process.exitcode, output, errors)


def _main(
    words: Sequence[str], environment: dict[str, str], folder: Path, memory: int, files: tuple[Path, Path]
) -> None:
    """The process itself."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    sys.exit(main(words))


def words_for(command: str, recording: Path) -> list[str]:
    extra = {
        "replay": ["--no-gdb", "--batch"], "pack": ["-o", str(recording.parent / "packed")],
        "timeline": ["-o", str(recording.parent / "page.html")],
    }  # fmt: skip
    return [command, str(recording), *extra.get(command, [])]


def test_s1_a_file_that_stands_about_is_no_disk(cli: Cli, foreign: Path) -> None:
    victim = foreign.parent / "victim"
    victim.write_bytes(bytes(1 << 16))
    (foreign.parent / "12").write_text(f'# Disk DescriptorFile\nRW 128 FLAT "{victim}" 0\n')
    for fd in (12, True, "3", -1, 3.0):
        manifest(foreign, lambda content, fd=fd: content["invocation"]["bundled"][0].update(fd=fd))  # type: ignore[misc]
        done = run(cli, *words_for("replay", foreign))
        assert done.returncode == 1
        assert b"is damaged" in done.stderr
    assert victim.read_bytes() == bytes(1 << 16)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("machine", '{"x,type=pc,dumpdtb=F":null}'),
        ("drive", '{"x,if=none,file.driver=nbd,file.host=localhost":null}'),
        ("acpitable", '{"x,data=F":null}'),
        ("machine", "pc,memory-encryption=x"),
        ("device", "virtio-net-pci,,romfile=F"),
    ],
)
def test_s2_values_that_qemu_would_read_otherwise(cli: Cli, foreign: Path, name: str, value: str) -> None:
    manifest(foreign, lambda content: content["invocation"]["options"].append({"name": name, "value": value}))
    done = run(cli, *words_for("replay", foreign))
    assert done.returncode == 1
    assert b"it would start QEMU with" in done.stderr
    assert not (cli.root.parent / "F").exists()


def test_s3_a_recording_of_mine_that_was_changed_elsewhere(cli: Cli, heapbug_guest: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    cli("record", "--no-check", "-o", str(own), "--max-icount", "2e6", "--", *bare_metal(heapbug_guest))
    cli.replay(own, "seek 50%", "snapshot mine")
    assert "mine" in cli("replay", "--no-gdb", str(own), "--batch", "-ex", "info snapshots").stdout
    identity = json.loads((own / "timeline.json").read_text())
    (listed,) = (item for item in identity["snapshots"] if item["name"] == "mine")
    # A state that QEMU would load, with another content.
    state = own / listed["files"][0]
    changed = bytearray(state.read_bytes())
    changed[-1] ^= 1
    state.write_bytes(changed)
    told = cli.replay(own, "info snapshots", "seek @mine", "when")
    assert "not made here" in told
    assert "named" not in told
    assert not state.exists()


def test_s3_a_backing_file_in_a_recording_of_mine(cli: Cli, heapbug_guest: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    cli("record", "--no-check", "-o", str(own), "--max-icount", "100000", "--", *bare_metal(heapbug_guest))
    other = own / "snapshots" / "other.qcow2"
    base = tmp_path / "base"
    base.write_bytes(bytes(1 << 16))
    made = ("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", other)
    subprocess.run(made, check=True)
    assert "makes QEMU open another file" in cli.replay(own, "when", check=1)


def test_s3_features_of_images_that_lead_elsewhere(cli: Cli, foreign: Path) -> None:
    other = foreign / "snapshots" / "other.qcow2"
    subprocess.run(("qemu-img", "create", "-q", "-f", "qcow2", other, "1M"), check=True)
    head = bytearray(other.read_bytes())
    for place, what in ((35, b"is encrypted"), (79, b"makes QEMU open another file"), (72, b"makes QEMU open another")):
        changed = bytearray(head)
        changed[place] = 4 if place == 79 else 1
        other.write_bytes(changed)
        assert what in run(cli, *words_for("replay", foreign)).stderr


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "link") for name in ("console.log", "replay.bin", "timeline.json", "deliveries.bin", "hits.json", "lock")]
    + [(name, kind) for name in ("console.log", "timeline.json") for kind in ("fifo", "device")]
    + [("lock", "fifo")],
)
def test_s4_what_is_no_regular_file_is_not_opened(cli: Cli, foreign: Path, name: str, kind: str) -> None:
    secret = foreign.parent / "secret"
    secret.write_text("SECRET\n")
    path = foreign / name
    path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    for command in READERS:
        done = run(cli, *words_for(command, foreign))
        assert b"SECRET" not in done.stdout + done.stderr
    assert secret.read_text() == "SECRET\n"
    assert run(cli, *words_for("replay", foreign)).returncode == 1 or (name == "lock" and kind == "fifo")
    for made in ("packed", "page.html"):
        if (foreign.parent / made).exists():
            assert b"SECRET" not in (foreign.parent / made).read_bytes()


def test_s4_a_checksum_of_a_file_elsewhere(cli: Cli, foreign: Path) -> None:
    os.mkfifo(foreign.parent / "fifo")
    manifest(foreign, lambda content: content["checksums"].update({"../fifo": "0" * 64}))
    for command in READERS:
        run(cli, *words_for(command, foreign))
    assert run(cli, *words_for("replay", foreign)).returncode == 1


VALUES: tuple[object, ...] = (
    None,
    True,
    -1,
    1.5,
    1e308,
    1 << 80,
    "",
    "x" * 1000,
    [],
    {},
    [[]],
    {"a": 1},
    "\x00",
    "\ud800",
)


@pytest.mark.parametrize(
    "key", ["created", "invocation", "initial_tag", "icount", "end", "seconds", "checksums", "qemu_version", "schema"]
)
def test_s5_values_of_the_manifest(cli: Cli, foreign: Path, key: str) -> None:
    before = json.loads((foreign / "manifest.json").read_text())
    for value in VALUES[::2]:
        (foreign / "manifest.json").write_text(json.dumps(before | {key: value}))
        run(cli, *words_for("info", foreign))
    run(cli, *words_for("replay", foreign))


@pytest.mark.parametrize("name", ["manifest.json", "timeline.json", "hits.json", "seal.json"])
@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"a":' * 50_000, b"1" * 100_000, b'{"schema": NaN}', b'{"schema":1e999}', b"\xff", b"", b"0"],
    ids=["deep", "deep objects", "digits", "nan", "infinite", "no text", "nothing", "a number"],
)
def test_s5_json_that_is_none(cli: Cli, foreign: Path, name: str, content: bytes) -> None:
    (foreign / name).write_bytes(content)
    for command in ("info", "replay"):
        run(cli, *words_for(command, foreign))


def test_s5_a_log_that_claims_much(cli: Cli, foreign: Path) -> None:
    log = foreign / "replay.bin"
    head = log.read_bytes()[:12]
    log.write_bytes(head + b"\x16" + (0x7FFF_FFFF).to_bytes(4, "big") + bytes(4) + b"\x27")
    for command in READERS:
        run(cli, *words_for(command, foreign))


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with gzip.open(path, "wb") as out, tarfile.open(fileobj=out, mode="w:", format=tarfile.GNU_FORMAT) as archive:
        for header, data in members:
            header.size = header.size or len(data)
            archive.addfile(header, io.BytesIO(data))
    return path


def pax(path: Path) -> None:
    header = tarfile.TarInfo("replay.bin")
    header.type = tarfile.XHDTYPE
    tar(path, (header, b"20 a=" + b"x" * (64 << 20)))


def sparse(path: Path) -> None:
    hole = path.with_name("hole")
    with hole.open("wb") as file:
        file.truncate(8 << 30)
    subprocess.run(
        ("tar", "-czSf", path, "-C", path.parent, "--transform", "s/hole/console.log/", "hole"), check=True
    )  # fmt: skip
    hole.unlink()


def link(path: Path) -> None:
    header = tarfile.TarInfo("files/kernel")
    header.type, header.linkname = tarfile.SYMTYPE, "/etc/passwd"
    tar(path, (header, b""))


def above(path: Path) -> None:
    tar(path, (tarfile.TarInfo("../../harm"), b"harm"))


@pytest.mark.parametrize("made", [pax, sparse, link, above])
def test_s6_archives_with_more_than_plain_files(cli: Cli, tmp_path: Path, made: Callable[[Path], None]) -> None:
    place = tmp_path / "place"
    place.mkdir()
    made(place / "archive")
    done = run(cli, "unpack", str(place / "archive"), "-o", str(place / "one"), memory=600 << 20)
    assert done.returncode == 1
    assert b"nothing that a packed recording has" in done.stderr
    assert [path.name for path in place.iterdir()] == ["archive"]
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("where", [0.3, 0.9, -6])
def test_s6_a_damaged_archive_is_noticed_and_leaves_nothing(cli: Cli, foreign: Path, where: float) -> None:
    place = foreign.parent / "place"
    place.mkdir()
    cli("pack", str(foreign), "-o", str(place / "archive"))
    data = bytearray((place / "archive").read_bytes())
    # The last bytes of gzip are a checksum of all.
    data[int(where * len(data)) if where > 0 else int(where)] ^= 0xFF
    (place / "archive").write_bytes(data)
    assert run(cli, "unpack", str(place / "archive"), "-o", str(place / "one")).returncode == 1
    assert [path.name for path in place.iterdir()] == ["archive"]


EVIL = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31m\u202eevil"
RAW = (b"\x1b", b"\x07", b"\x9b", "\x9b".encode(), "\u202e".encode())


def test_s7_what_others_have_written_is_shown_and_not_sent(cli: Cli, foreign: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content.update(ended=EVIL, rrdbg_version=EVIL[:200])
        content["command"] = [EVIL]
        content["invocation"]["additions"][0]["reason"] = EVIL

    manifest(foreign, change)
    bookmarks = {EVIL: [5, 0, EVIL]}
    kept = {"schema": 3, "snapshots": [], "bookmarks": bookmarks, "marks": {}, "cost": []}
    (foreign / "timeline.json").write_text(json.dumps(kept))
    (foreign / "console.log").write_bytes((EVIL * 10).encode())
    library = cli.root
    library.mkdir(exist_ok=True)
    shutil.copytree(foreign, library / "evil")
    for words in (["ls"], *(words_for(command, foreign) for command in READERS)):
        done = run(cli, *words)
        for raw in RAW:
            assert raw not in done.stdout + done.stderr, words
    shown = run(cli, *words_for("replay", foreign), "-ex", "info bookmarks", "-ex", f"seek @{EVIL}")
    assert not any(raw in shown.stdout + shown.stderr for raw in RAW)
    manifest(foreign, lambda content: content["invocation"].update(binary=EVIL))
    refused = run(cli, *words_for("replay", foreign))
    assert refused.returncode == 1
    assert not any(raw in refused.stderr for raw in RAW)


def test_s8_recordings_are_for_this_user_alone(cli: Cli, heapbug_guest: Path, tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    before = os.umask(0)
    try:
        cli("record", "--no-check", "-o", str(own), "--max-icount", "1e6", "--", *bare_metal(heapbug_guest))
        cli.replay(own, "seek 50%", "snapshot", "bookmark here")
        cli("pack", str(own), "-o", str(tmp_path / "packed"))
        cli("unpack", str(tmp_path / "packed"), "-o", str(other))
    finally:
        os.umask(before)
    for root in (own, other):
        assert stat.S_IMODE(root.stat().st_mode) == 0o700
        for name in ("manifest.json", "timeline.json"):
            assert stat.S_IMODE((root / name).stat().st_mode) == 0o600, name


def test_s9_forged_hits_and_costs_are_no_answers(cli: Cli, foreign: Path) -> None:
    content = json.loads((foreign / "manifest.json").read_text())
    end = content["end"]
    address = 0x100000
    forged = {"kind": "watch", "address": address, "length": 4, "covered": [[0, 0, end, 0]], "hits": []}
    hits = {"schema": 1, "log": content["checksums"]["replay.bin"], "points": [forged]}
    (foreign / "hits.json").write_text(json.dumps(hits))
    kept = {
        "schema": 3,
        "snapshots": [],
        "bookmarks": {},
        "marks": {"stops": [[5, 0, "forged"]]},
        "cost": [[0, 9, 1e9]],
    }
    (foreign / "timeline.json").write_text(json.dumps(kept))
    told = cli.replay(foreign, "info hits")
    assert "was not written here, and is not used" in told
    assert "Nothing was looked for yet." in told
    assert "hits.json was not written here" in cli("verify", str(foreign), check=1).stderr
    shown = run(cli, "timeline", str(foreign), "-o", str(foreign.parent / "page.html"))
    assert shown.returncode == 0
    assert b"forged" not in (foreign.parent / "page.html").read_bytes()
