"""What stands about where a recording lies or the user stands, and what lies behind formats that others read."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import py_compile
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.search.parallel.local import Worker
from rrdbg.errors import RecordingError
from rrdbg.frontends.bisect.python import load
from rrdbg.store.archive import unpack
from tests.cli.conftest import Cli, nobodys_state
from tests.cli.test_trust import manifest
from tests.processes import qemus_in

EVIL = "\x1b[2J\x9b31m\u202eevil\x07"
RAW = ("\x1b", "\x9b", "\u202e", "\x07")


def shown_safely(text: str) -> bool:
    return not any(character in text for character in RAW)


def test_a_worker_takes_no_modules_from_where_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """He may stand in a recording that somebody has sent, with files in it called as modules are."""
    started: list[str] = []

    async def remember(*command: str, **_: object) -> None:
        started.extend(command)
        raise InterruptedError

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remember)
    with pytest.raises(InterruptedError):
        asyncio.run(Worker.start(0))
    for name in ("asyncio", "json", "pickle", "rrdbg", "traceback"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    done = subprocess.run(started, cwd=tmp_path, input=b"", stdout=subprocess.PIPE, timeout=30)
    assert done.returncode == 0
    assert not (tmp_path / "ran").exists()


def test_a_predicate_is_its_text_and_not_what_lies_compiled_beside_it(tmp_path: Path) -> None:
    good = tmp_path / "predicate.py"
    good.write_text("def holds(replay):\n    raise SystemExit('evil')\n")
    py_compile.compile(str(good), doraise=True)
    status = good.stat()
    good.write_text("def holds(replay):\n    return 'as the text says'".ljust(status.st_size))
    os.utime(good, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert good.stat().st_size == status.st_size
    holds: Any = load(f"{good}:holds")
    assert holds(None) == "as the text says"


def test_s6_an_archive_that_changes_while_it_is_read_leaves_nothing(cli: Cli, copied: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    cli("pack", str(copied), "-o", str(archive))
    whole = archive.read_bytes()
    folder = tmp_path / "folder"
    folder.mkdir()
    for change in (whole[: len(whole) // 2], whole[: len(whole) // 2] + bytes(len(whole) // 2), b""):
        archive.write_bytes(whole)
        work = unpack(archive, folder / "one")
        next(work)
        with archive.open("r+b") as file:
            file.truncate(0)
            file.write(change)
        with pytest.raises(RecordingError, match="Cannot unpack"):
            list(work)
        assert list(folder.iterdir()) == []


def test_a_state_that_lies_ends_in_one_sentence(cli: Cli, copied: Path) -> None:
    """QEMU reads it. That it opens nothing meanwhile is what test_traced demands."""
    image = copied / "snapshots/initial.qcow2"
    honest = image.read_bytes()
    state = honest.index(b"QEVM")
    for place, lie in ((state + 100, b"\xff" * 64), (len(honest) // 2, b"\x7f\xff\xff\xff" * 16), (40, b"\xff" * 4)):
        image.write_bytes(honest[:place] + lie + honest[place + len(lie) :])
        summed = hashlib.blake2b(image.read_bytes(), digest_size=32).hexdigest()
        manifest(copied, lambda content, summed=summed: content["checksums"].update(  # type: ignore[misc]
            {"snapshots/initial.qcow2": summed}
        ))  # fmt: skip
        said = cli.replay(copied, "seek 10%", check=None)
        assert "(10.0%)" in said or "QEMU" in said
        assert shown_safely(said)
        assert not qemus_in(copied)


@pytest.fixture
def lying(copied: Path, tmp_path: Path) -> Path:
    """A recording whose kernel has names that would do something to a terminal, and a script for GDB."""
    if shutil.which("objcopy") is None:
        pytest.skip("objcopy is not installed.")
    kernel = copied / "files/kernel"
    script = tmp_path / "script"
    script.write_bytes(b"\x04evil.py\nopen(%r, 'w')\n\0" % str(tmp_path / "ran"))
    subprocess.run(
        ["objcopy", "--redefine-sym", f"main=m{EVIL}n", "--redefine-sym", f"tasks=t{EVIL}s",
         "--add-section", f".debug_gdb_scripts={script}", str(kernel)],
        check=True, timeout=30,
    )  # fmt: skip
    summed = hashlib.blake2b(kernel.read_bytes(), digest_size=32).hexdigest()
    manifest(copied, lambda content: content["checksums"].update({"files/kernel": summed}))
    return copied


def test_s7_names_of_symbols_are_shown_and_their_scripts_not_run(cli: Cli, lying: Path, tmp_path: Path) -> None:
    asked = (
        "info functions m",
        "info variables t",
        "info line *$pc",
        "x/2i $pc",
        "bt",
        "info symbol $pc",
        "break main",
    )
    words = [word for line in asked for word in ("-ex", line)]
    for json_too in ([], ["--json"]):
        done = cli("replay", str(lying), "--batch", "--at", "50%", *json_too, *words, check=None)
        assert shown_safely(done.stdout + done.stderr)
    assert not (tmp_path / "ran").exists()


def test_info_says_what_holds_of_its_qemu_and_starts_none_of_a_stranger(cli: Cli, copied: Path) -> None:
    facts = json.loads(cli("info", str(copied), "--json").stdout)
    told = facts["facts"]["confinement"]
    assert "it makes no connections" in told
    # The same of the QEMU that does replay it.
    inside = cli("replay", "--no-gdb", "--json", "--batch", "-ex", "info recording", str(copied)).stdout
    assert json.loads(inside.splitlines()[-1])["facts"]["confinement"] == told
    manifest(copied, lambda content: content["invocation"].update(binary="./qemu-system-x86_64"))
    said = cli("info", str(copied)).stdout
    assert "it is not opened: This recording was not made here" in said
    # His own command line, which names what nobody here knows of, is left what it asks for.
    manifest(copied, lambda content: content["invocation"].update(binary="qemu-system-x86_64"))
    manifest(copied, lambda content: content["invocation"]["options"].append({"name": "L", "value": "/nowhere"}))
    state = nobodys_state(copied.parent)
    cli("replay", "--no-gdb", "--trust", str(copied), "--batch", XDG_STATE_HOME=state)
    said = cli("info", str(copied), XDG_STATE_HOME=state).stdout
    assert "as the recording's own command line asks for more" in said
    assert "-L /nowhere" in said


def test_doctor_says_what_holds(cli: Cli) -> None:
    findings = json.loads(cli("doctor", "--json", check=None).stdout)["findings"]
    told = [item["what"] for item in findings if item["topic"] == "confinement"]
    assert any("it makes no connections" in what for what in told)
