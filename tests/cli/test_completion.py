"""A shell that is given rrdbg's completions completes its command line: bash, by Tab in a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.cli.conftest import Cli

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bash(cli: Cli, copied: Path, tmp_path: Path) -> Iterator[pexpect.spawn[str]]:
    """A bash that has loaded them, with two recordings in its library."""
    library = tmp_path / "library"
    library.mkdir()
    for name in ("panic-1", "panic-2"):
        (library / name).mkdir()
        (library / name / "manifest.json").write_bytes((copied / "manifest.json").read_bytes())
    environment = {
        **os.environ, "RRDBG_DIR": str(library), "PS1": "$ ", "TERM": "dumb",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    shell = pexpect.spawn("bash", ["--norc"], env=environment, encoding="utf-8", timeout=20)
    shell.expect_exact("$ ")
    shell.sendline('bind "set bell-style none"; eval "$(rrdbg completion bash)"; echo loaded')
    shell.expect_exact("loaded\r\n")
    shell.expect_exact("loaded\r\n")
    yield shell
    shell.close(force=True)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("rrdbg bisect-b", "bisect-boot "),
        ("rrdbg info pan", "panic-"),
        ("rrdbg info panic-2 --js", "--json "),
        ("rrdbg completion f", "fish "),
    ],
)
def test_tab_completes(bash: pexpect.spawn[str], typed: str, completed: str) -> None:
    bash.send(f"{typed}\t")
    bash.expect_exact(f"{typed.rpartition(' ')[0]} {completed}")
    bash.sendintr()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_others_are_given_theirs(cli: Cli, shell: str) -> None:
    assert {"zsh": "#compdef rrdbg", "fish": "complete --command rrdbg"}[shell] in cli("completion", shell).stdout


def test_a_shell_that_is_none(cli: Cli) -> None:
    assert "invalid choice: 'tcl'" in cli("completion", "tcl", check=2).stderr


def test_the_manual_page_has_all_there_is(tmp_path: Path) -> None:
    page = tmp_path / "rrdbg.1"
    subprocess.run([sys.executable, ROOT / "scripts/manpage", page], check=True, stdout=subprocess.DEVNULL)
    text = page.read_text().replace("\\-", "-")
    assert text.startswith(".TH RRDBG")
    for word in ("rrdbg record", "rrdbg completion", "--until-console", "--max-icount"):
        assert word in text.replace("\\fR", "").replace("\\fB", "").replace("\\fI\\,", "").replace("\\/", "")
