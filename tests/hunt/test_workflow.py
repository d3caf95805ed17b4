"""The workflow for GitHub Actions that hunts at night: its commands are run, as far as they are ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.build import build

WORKFLOW = Path(__file__).parents[2] / "docs" / "howto" / "github-hunt.yml"


@pytest.mark.matrix
def test_it_hunts_and_packs_what_it_finds(tmp_path: Path) -> None:
    with failing_clearly("check_use"):
        shutil.copyfile(build("check_use", GUEST_DIR, "ROUNDS=2", "GAP=2000"), tmp_path / "kernel.elf")
    (job,) = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    steps = {step["name"]: step for step in job["steps"] if "name" in step}
    environment = {
        **os.environ, "RRDBG_DIR": str(tmp_path / "recordings"), "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"), "MINUTES": "2",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    for name in ("Hunt", "Pack the recording"):
        subprocess.run(
            ["bash", "-eo", "pipefail", "-c", steps[name]["run"]], cwd=tmp_path, env=environment,
            stdin=subprocess.DEVNULL, check=True, timeout=250,
        )  # fmt: skip
    assert (tmp_path / "output").read_text() == "found=true\n"
    for file in ("hunt.md", "summary"):
        assert "with the same perturbation" in (tmp_path / file).read_text().lower()
    assert (tmp_path / "night.rrdbg.tar.gz").stat().st_size > 10_000
