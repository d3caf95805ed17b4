"""What a QEMU that is confined can reach; each measure where this host has it, said by the tests' own skips."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rrdbg.links.become_qemu import landlock_version
from rrdbg.links.confinement import EVERY, SANDBOX, Measure, Reach, measures_for, options_of, words_of
from rrdbg.links.process import find_qemu, in_front_of_qemu

QUIET = ("-display", "none", "-monitor", "stdio")
QEMU = Path("/opt/qemu/bin/qemu-system-x86_64")


def test_nothing_is_said_where_the_host_has_nothing() -> None:
    assert words_of(frozenset(), QEMU, Reach()) == ()
    assert options_of(frozenset()) == ()
    assert options_of({Measure.SANDBOX}) == SANDBOX


def test_the_words_name_what_may_be_reached_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rrdbg.links.confinement._SYSTEM", ("/usr", "/not-there"))
    monkeypatch.setenv("LD_LIBRARY_PATH", f"::here:{tmp_path}")
    recording, scratch = tmp_path / "recording", tmp_path / "scratch"
    qemu = tmp_path / "qemu/bin/qemu-system-x86_64"
    qemu.parent.mkdir(parents=True)
    qemu.touch()
    assert words_of(EVERY, qemu, Reach((recording,), (scratch,))) == (
        "read=/usr", f"read={tmp_path}", f"read={qemu}", f"read={tmp_path / 'qemu'}", f"read={recording}",
        "write=/dev/null", "write=/dev/zero", f"write={scratch}", "no-tcp", "no-sockets",
    )  # fmt: skip
    connected = words_of(EVERY, QEMU, Reach(network=True))
    assert not {"no-sockets", "no-tcp"} & set(connected)


def test_a_qemu_in_somebodys_home_does_not_open_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rrdbg.links.confinement._SYSTEM", ())
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("build/qemu-system-x86_64", "bin/qemu-system-x86_64", ".local/bin/qemu-system-x86_64"):
        program = tmp_path / name
        program.parent.mkdir(parents=True)
        program.touch()
        words = words_of({Measure.FILES}, program, Reach())
        read = [Path(word.removeprefix("read=")) for word in words if word.startswith("read=")]
        assert program in read
        for private in (".ssh", ".local/share/keyrings"):
            assert not any((tmp_path / private).is_relative_to(path) for path in read)


def test_where_a_qemu_was_built_links_lead_to_its_firmware(tmp_path: Path) -> None:
    firmware, build = tmp_path / "source/pc-bios", tmp_path / "elsewhere/build"
    bundle = build / "qemu-bundle/usr/share/qemu"
    firmware.mkdir(parents=True)
    bundle.mkdir(parents=True)
    (firmware / "bios.bin").touch()
    (bundle / "bios.bin").symlink_to(firmware / "bios.bin")
    (build / "qemu-system-x86_64").touch()
    assert f"read={firmware}" in words_of({Measure.FILES}, build / "qemu-system-x86_64", Reach())


def needs_landlock() -> None:
    if not landlock_version():
        pytest.skip("This host's kernel has no Landlock.")


def confined(reach: Reach, *command: str, measures: frozenset[Measure] = EVERY) -> list[str]:
    """``command``, put where QEMU would be."""
    return [*in_front_of_qemu(words_of(measures, Path(command[0]), reach)), *command]


def probe(reach: Reach, code: str, measures: frozenset[Measure] = EVERY) -> str:
    """What a program says that is confined as QEMU would be."""
    command = confined(reach, sys.executable, "-I", "-S", "-c", code, measures=measures)
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    return done.stdout + done.stderr


@pytest.fixture
def made(tmp_path: Path) -> Reach:
    needs_landlock()
    for name in ("recording", "scratch", "home"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("content")
    python = tuple(Path(path) for path in {sys.base_prefix, sys.prefix})
    return Reach((tmp_path / "recording", *python), (tmp_path / "scratch",))


def test_files_outside_are_not_there_to_be_opened(made: Reach, tmp_path: Path) -> None:
    def tried(path: Path, mode: str) -> str:
        return probe(made, f"open({str(path)!r}, {mode!r}); print('opened')")

    assert "opened" in tried(tmp_path / "recording" / "file", "r")
    assert "Permission denied" in tried(tmp_path / "recording" / "file", "r+")
    assert "Permission denied" in tried(tmp_path / "recording" / "new", "w")
    assert "opened" in tried(tmp_path / "scratch" / "new", "w")
    assert "Permission denied" in tried(tmp_path / "home" / "file", "r")
    assert "Permission denied" in tried(tmp_path / "home" / "new", "w")
    link = tmp_path / "recording" / "link"
    link.symlink_to(tmp_path / "home" / "file")
    assert "Permission denied" in tried(link, "r")


def test_files_that_are_open_already_go_along_and_the_process_stays_the_same(made: Reach, tmp_path: Path) -> None:
    file = os.open(tmp_path / "home" / "file", os.O_RDONLY)
    code = f"import os; print(os.getpid(), os.read({file}, 10).decode())"
    with subprocess.Popen(
        confined(made, sys.executable, "-I", "-S", "-c", code), stdout=subprocess.PIPE, pass_fds=(file,), text=True
    ) as process:
        os.close(file)
        assert process.communicate(timeout=20)[0].split() == [str(process.pid), "content"]


def test_the_older_a_kernel_the_fewer_rights_it_is_asked_for(made: Reach, tmp_path: Path) -> None:
    """By a stub that takes this kernel for an older one, which would refuse what it does not know."""
    stub = Path(find_stub())
    for version in range(1, landlock_version() + 1):
        old = tmp_path / "old.py"
        text = stub.read_text()
        assert text.count("version = landlock_version()") == 1
        old.write_text(text.replace("version = landlock_version()", f"version = {version}"))
        command = confined(made, sys.executable, "-I", "-S", "-c", f"open({str(tmp_path / 'home' / 'file')!r})")
        done = subprocess.run(
            [str(old) if word == str(stub) else word for word in command], capture_output=True, text=True, timeout=20
        )
        assert "Permission denied" in done.stderr


def find_stub() -> str:
    return next(word for word in in_front_of_qemu(()) if word.endswith("become_qemu.py"))


@pytest.mark.parametrize(
    "code",
    [
        "socket.create_connection(('127.0.0.1', {port}))",
        "socket.socket(socket.AF_UNIX).connect({path!r})",
        "socket.socket(type=socket.SOCK_DGRAM)",
        "socket.socketpair()[0].connect({path!r})",
        "socket.socketpair()[0].bind('here')",
    ],
)
def test_nobody_is_reached(code: str, tmp_path: Path) -> None:
    """Nor by a socket with a name, such as that of a container's master, which Landlock knows nothing of."""
    path = str(tmp_path / "named")
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as named:
        named.bind(path)
        named.listen()
        code = f"import socket; {code.format(port=listener.getsockname()[1], path=path)}; print('reached')"
        said = probe(Reach(), code, frozenset({Measure.SOCKETS}))
    assert "reached" not in said
    assert "Operation not permitted" in said


def test_neither_io_uring_nor_another_set_of_calls_leads_around_it() -> None:
    numbers = [425]
    if os.uname().machine == "x86_64":
        numbers.append((1 << 30) + 41)  # x32
    for number in numbers:
        code = (
            "import ctypes; libc = ctypes.CDLL(None, use_errno=True);"
            f"print(libc.syscall({number}, 1, 1, 0), ctypes.get_errno())"
        )
        assert probe(Reach(), code, frozenset({Measure.SOCKETS})).split() == ["-1", "1"]


def test_others_are_not_traced(made: Reach) -> None:
    """rrdbg itself runs as the same user."""
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            code = f"open('/proc/{other.pid}/mem', 'rb')"
            assert "Permission denied" in probe(made, code)
            code = f"import ctypes; print(ctypes.CDLL(None).ptrace(16, {other.pid}, None, None))"
            assert probe(made, code).strip() == "-1"
        finally:
            other.kill()


def test_what_cannot_be_confined_does_not_run(tmp_path: Path) -> None:
    needs_landlock()
    said = probe(Reach((tmp_path / "gone",)), "print('ran')")
    assert "it cannot be confined: No such file or directory" in said
    assert "ran" not in said


async def test_each_measure_is_tried_with_the_program(tmp_path: Path) -> None:
    """A QEMU that was built without seccomp is confined by the others, and one that nothing can confine by none."""
    program = tmp_path / "qemu-system-none"

    def write(text: str) -> None:
        program.write_text(f"#!/bin/sh\n{text}\necho QEMU emulator version 9.9\n")
        program.chmod(0o755)

    write('case "$*" in *sandbox*) echo "-sandbox support is not enabled in this QEMU binary" >&2; exit 1;; esac')
    without = await measures_for(program)
    assert Measure.SANDBOX not in without
    assert Measure.SOCKETS in without
    write("exit 1")
    assert await measures_for(program) == frozenset()
    write("")
    assert Measure.SANDBOX in await measures_for(program)


async def test_a_kernel_without_landlock_leaves_the_other_measures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = tmp_path / "become_qemu.py"
    text = Path(find_stub()).read_text()
    old.write_text(text.replace("version = landlock_version()", "version = 0"))
    monkeypatch.setattr("rrdbg.links.process._STUB", str(old))
    found = await measures_for(Path(find_qemu("qemu-system-x86_64")))
    assert Measure.FILES not in found
    assert Measure.SOCKETS in found


@pytest.mark.parametrize("name", ["qemu-system-x86_64", "qemu-system-aarch64"])
def test_a_confined_qemu_opens_its_own_files_and_no_others(name: str, tmp_path: Path) -> None:
    needs_landlock()
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed.")
    qemu = find_qemu(name)
    measures = asyncio.run(measures_for(Path(qemu)))
    (tmp_path / "home").write_bytes(bytes(1 << 16))
    (tmp_path / "scratch").mkdir()
    machine = "pc" if "x86" in name else "virt"

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        words = (qemu, "-M", machine, "-nodefaults", *options_of(measures), *more, *QUIET)
        return subprocess.run(
            confined(Reach(write=(tmp_path / "scratch",)), *words, measures=measures),
            input="quit\n", capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    done = run()
    assert done.returncode == 0, done.stderr
    done = run("-drive", f"file={tmp_path}/home,format=raw,if=none")
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    done = run("-netdev", "socket,id=n,connect=127.0.0.1:9")
    assert done.returncode == 1
    assert "not permitted" in done.stderr
