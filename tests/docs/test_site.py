"""The pages make a site without a link or an anchor that leads nowhere, and one that does fails it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.matrix  # Sphinx takes seconds for each of its three builds
def test_all_pages_make_a_site(tmp_path: Path) -> None:
    target = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "site" / "build.py", target], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for page in ("README.html", "docs/tutorial.html", "docs/howto/bugs.html", "docs/explanation/comparison.html"):
        assert (target / page).stat().st_size > 1000
    for ending, link in (
        ("html", "[gone](docs/howto/no-such-page.md)"),
        ("anchor", "[gone](docs/howto/bugs.md#no-such-part)"),
    ):
        source = tmp_path / "site-source"
        with (source / "SECURITY.md").open("a") as security:
            security.write(f"\n{link}\n")
        command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q"]
        command += [str(source), str(tmp_path / ending)]
        broken = subprocess.run(command, capture_output=True, text=True, check=False)
        assert broken.returncode
        assert "no-such" in broken.stderr
