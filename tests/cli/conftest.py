"""The command line as a user runs it: a process of its own, with a library of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.forked import forker
from tests.guests.build import QEMU_OPTIONS

QEMU = "qemu-system-x86_64"
_PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Cli:
    """Runs ``rrdbg`` with the library ``root``."""

    root: Path

    def environment(self, **changes: str) -> dict[str, str]:
        return {**os.environ, "RRDBG_DIR": str(self.root), "XDG_STATE_HOME": str(self.root / "state"), **changes}

    def __call__(
        self, *words: str, check: int | None = 0, typed: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run and demand the exit status ``check``, and that no traceback reaches the user.

        With variables of one's own it is started by a Python of its own, which may heed them.
        """
        env = self.environment(**environment)
        if environment:
            done = subprocess.run(
                [sys.executable, "-m", "rrdbg", *words], env=env, capture_output=True, text=True,
                timeout=_PATIENCE_SECONDS, input=typed,
            )  # fmt: skip
        else:
            done = forker().run(words, env, typed=typed, timeout=_PATIENCE_SECONDS)
        assert "Traceback" not in done.stderr, done.stderr
        assert check is None or done.returncode == check, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done

    def replay(self, recording: Path, *commands: str, check: int | None = 0, **environment: str) -> str:
        """Run ``commands`` in a batch and return what was printed, errors included."""
        words = [word for command in commands for word in ("-ex", command)]
        done = self("replay", "--no-gdb", str(recording), "--batch", *words, check=check, **environment)
        return done.stdout + done.stderr

    def popen(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "rrdbg", *words],
            env=self.environment(**environment), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip


def bare_metal(elf: Path) -> Sequence[str]:
    return (QEMU, *QEMU_OPTIONS, "-serial", "stdio", "-kernel", str(elf))


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "library")


@pytest.fixture(scope="session")
def heapbug_recording(tmp_path_factory: pytest.TempPathFactory, heapbug_guest: Path) -> Path:
    """A recording of heapbug up to its panic; ``as-recorded`` beside it is not to be changed."""
    root = tmp_path_factory.mktemp("heapbug")
    Cli(root)("record", "-o", str(root / "heapbug"), "--until-console", "PANIC", "--", *bare_metal(heapbug_guest))
    # Whoever looks at it in its place leaves snapshots there.
    shutil.copytree(root / "heapbug", root / "as-recorded")
    return root / "heapbug"


@pytest.fixture(scope="session")
def workload_recording(tmp_path_factory: pytest.TempPathFactory, workload_guest: Path) -> Path:
    """A recording of workload, to its power-off; not to be changed."""
    root = tmp_path_factory.mktemp("workload")
    Cli(root)("record", "--no-check", "-o", str(root / "workload"), "--", *bare_metal(workload_guest))
    return root / "workload"


@pytest.fixture
def copied(heapbug_recording: Path, tmp_path: Path) -> Path:
    """A copy of the recording of heapbug as it was made, to be damaged; to ``cli`` it is somebody else's."""
    return Path(shutil.copytree(heapbug_recording.with_name("as-recorded"), tmp_path / "heapbug"))


def nobodys_state(folder: Path) -> str:
    """``XDG_STATE_HOME`` of a user who has made nothing yet."""
    return str(folder / "nobody's state")
