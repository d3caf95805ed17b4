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

from rrdbg.links.confinement import SANDBOX, Confinement, Measure, Reach, confinement, host_measures
from rrdbg.links.process import find_qemu

ALL = frozenset(Measure)
QUIET = ("-display", "none", "-monitor", "stdio")
QEMU = Path("/opt/qemu/bin/qemu-system-x86_64")


def test_nothing_is_put_in_front_where_the_host_has_nothing() -> None:
    assert confinement(QEMU, Reach((), ()), frozenset(), ()) == Confinement((), (), frozenset())
    seccomp = frozenset({Measure.SECCOMP})
    assert confinement(QEMU, Reach((), ()), seccomp, ()) == Confinement((), SANDBOX, seccomp)


def test_the_words_name_what_may_be_reached_and_nothing_else(tmp_path: Path) -> None:
    recording, scratch = tmp_path / "recording", tmp_path / "scratch"
    made = confinement(QEMU, Reach((recording,), (scratch,)), ALL, (Path("/usr"),))
    words = [word for word in made.prefix if word == "offline" or word.startswith(("read=", "write="))]
    assert words == [
        "offline", "read=/usr", "read=/opt/qemu/bin", "read=/opt/qemu", f"read={recording}",
        "write=/dev/null", "write=/dev/zero", f"write={scratch}",
    ]  # fmt: skip
    assert made.prefix[-1] == "--"
    assert made.measures == ALL
    assert "offline" not in confinement(QEMU, Reach((), ()), ALL - {Measure.OFFLINE}, ()).prefix


@pytest.fixture(scope="module")
def host() -> frozenset[Measure]:
    return asyncio.run(host_measures())


def needs(host: frozenset[Measure], measure: Measure) -> None:
    if measure not in host:
        pytest.skip(f"This host's kernel does not have it: {measure}.")


def probe(made: Confinement, code: str) -> str:
    """What a program says that is confined as QEMU would be."""
    done = subprocess.run(
        [*made.prefix, sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=20
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.fixture
def made(host: frozenset[Measure], tmp_path: Path) -> Confinement:
    needs(host, Measure.LANDLOCK)
    for name in ("recording", "scratch", "home"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("content")
    python = tuple(Path(path) for path in {sys.base_prefix, sys.prefix})
    return confinement(Path(sys.executable), Reach((tmp_path / "recording", *python), (tmp_path / "scratch",)), host)


def test_files_outside_are_not_there_to_be_opened(made: Confinement, tmp_path: Path) -> None:
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


def test_files_that_are_open_already_go_along_and_the_process_stays_the_same(made: Confinement, tmp_path: Path) -> None:
    file = os.open(tmp_path / "home" / "file", os.O_RDONLY)
    code = f"import os; print(os.getpid(), os.read({file}, 10).decode())"
    with subprocess.Popen(
        [*made.prefix, sys.executable, "-I", "-S", "-c", code], stdout=subprocess.PIPE, pass_fds=(file,), text=True
    ) as process:
        os.close(file)
        assert process.communicate(timeout=20)[0].split() == [str(process.pid), "content"]


def test_nobody_is_reached_by_the_network(made: Confinement, host: frozenset[Measure]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port})); print('connected')"
        said = probe(made, code)
    assert "connected" not in said
    assert "Error" in said
    if Measure.OFFLINE in host:
        code = (
            "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.connect(('192.0.2.1', 9)); print('reachable')"
        )
        assert "unreachable" in probe(made, code)


def test_what_cannot_be_confined_does_not_run(tmp_path: Path, host: frozenset[Measure]) -> None:
    needs(host, Measure.LANDLOCK)
    made = confinement(Path(sys.executable), Reach((tmp_path / "gone",), ()), host)
    assert "QEMU cannot be confined" in probe(made, "print('ran')")


@pytest.mark.parametrize("name", ["qemu-system-x86_64", "qemu-system-aarch64"])
def test_a_confined_qemu_opens_its_own_files_and_no_others(name: str, host: frozenset[Measure], tmp_path: Path) -> None:
    needs(host, Measure.LANDLOCK)
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed.")
    qemu = find_qemu(name)
    (tmp_path / "home").write_bytes(bytes(1 << 16))
    (tmp_path / "scratch").mkdir()
    made = confinement(Path(qemu), Reach((), (tmp_path / "scratch",)), host)
    machine = "pc" if "x86" in name else "virt"

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*made.prefix, qemu, "-M", machine, "-nodefaults", *made.options, *more, *QUIET],
            input="quit\n", capture_output=True, text=True, timeout=60, cwd=tmp_path / "scratch",
        )  # fmt: skip

    done = run()
    assert done.returncode == 0, done.stderr
    done = run("-drive", f"file={tmp_path}/home,format=raw,if=none")
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    done = run("-netdev", "socket,id=n,connect=127.0.0.1:9")
    assert done.returncode == 1
    assert "denied" in done.stderr or "unreachable" in done.stderr
