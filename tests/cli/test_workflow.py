"""The workflow for GitHub Actions in the documentation: its commands are run, as far as they are ours."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Cli

WORKFLOW = Path(__file__).parents[2] / "docs" / "howto" / "github-actions.yml"


@pytest.fixture(scope="module")
def steps() -> dict[str, dict[str, Any]]:
    """The steps of its only job, by name."""
    (job,) = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    return {step["name"]: step for step in job["steps"] if "name" in step}


def test_its_options_are_those_of_the_command_line(cli: Cli, steps: dict[str, dict[str, Any]]) -> None:
    scripts = "\n".join(step["run"] for step in steps.values() if "run" in step).replace("\\\n", " ")
    calls = [
        shlex.split(found) for found in re.findall(r"\brrdbg ((?:record|console|bisect|pack)\b[^\n|;>]*)", scripts)
    ]
    assert {words[0] for words in calls} == {"record", "console", "bisect", "pack"}
    for subcommand, *words in calls:
        known = cli(subcommand, "--help").stdout
        ours = words[: words.index("--")] if "--" in words else words
        assert all(re.search(rf"{word}\b", known) for word in ours if word.startswith("--")), (subcommand, words)


def test_it_finds_the_culprit(steps: dict[str, dict[str, Any]], heapbug_guest: Path, tmp_path: Path) -> None:
    """All that it runs between building and posting, with a guest that panics."""
    shutil.copyfile(heapbug_guest, tmp_path / "kernel.elf")
    environment = {
        **os.environ, "RRDBG_DIR": str(tmp_path / "recordings"), "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    for name in ("Record", "Check", "Find the culprit", "Pack the recording"):
        subprocess.run(
            ["bash", "-eo", "pipefail", "-c", steps[name]["run"]], cwd=tmp_path, env=environment,
            stdin=subprocess.DEVNULL, check=True, timeout=120,
        )  # fmt: skip
    assert (tmp_path / "output").read_text() == "failed=true\n"
    for file in ("culprit.md", "summary"):
        text = (tmp_path / file).read_text()
        assert "is the first position where" in text
        assert "task->log[task->log_used] = 0; /* the bug" in text
        assert "#0  0x0000000000100048 in log_append" in text
    assert (tmp_path / "recording.rrdbg.tar.gz").stat().st_size > 10_000
    assert (tmp_path / "bisect.log").read_bytes().count(b"\n") > 10
