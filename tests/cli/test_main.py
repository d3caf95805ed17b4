"""Each subcommand is read when it is used, and all of them for the list."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from rrdbg.frontends.cli import main
from tests.cli.conftest import Cli


def test_the_table_has_each_command_that_is_declared(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--help"])
    declared = re.findall(r"^    ([a-z-]+)", capsys.readouterr().out, re.MULTILINE)
    assert declared == list(main.SUBCOMMANDS)


@pytest.mark.parametrize("name", main.SUBCOMMANDS)
def test_each_is_found_alone(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["--debug", name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: rrdbg {name} ")


def test_one_that_is_mistyped_is_asked_what_was_meant(cli: Cli) -> None:
    assert "there is no command 'rcord'; did you mean 'record'?" in cli("rcord", check=2).stderr


def test_one_that_is_like_no_other_is_told_all(cli: Cli) -> None:
    told = cli("qqq", check=2).stderr
    assert "'record'" in told
    assert "'timeline'" in told


def test_a_list_of_recordings_needs_no_prompt() -> None:
    code = "import sys; from rrdbg.frontends.cli.main import main; main(['ls']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "prompt_toolkit" not in done.stdout
    assert "rrdbg.frontends.cli.library" in done.stdout
