"""A shell and a page of one session: where one goes the other is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.web.conftest import Served, asked


def test_the_shell_and_its_page_have_one_cursor(heapbug: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(heapbug, tmp_path / "heapbug"))
    process = subprocess.Popen(
        [sys.executable, "-m", "rrdbg", "replay", str(copy), "--no-gdb", "--spares", "0"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ),
    )  # fmt: skip
    assert process.stdin
    assert process.stdout

    def typed(line: str, wanted: str) -> str:
        """Write a line to the shell; the first line of its answers that has ``wanted`` in it."""
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        return next(text for text in process.stdout if wanted in text)

    try:
        served = Served(process, typed("web on", "http://").split()[-1], copy)
        typed("seek 200,000", "200,000")
        _, _, text = asked(served, "/api/run", {"line": "stepi"})
        told = [json.loads(line) for line in text.splitlines()]
        assert told[0]["stop"]["position"] == {"icount": 200_001, "phase": 0}
        assert "200,001" in typed("when", "200,001")
        assert "already" in typed("web on", served.origin)
        assert typed("web off", "page").strip() == "The page is gone."
        with pytest.raises(ConnectionRefusedError):
            asked(served, "/api/run", {"line": "stepi"})
        assert "200,001" in typed("when", "200,001")
        served = Served(process, typed("web on", "http://").split()[-1], copy)
        process.stdin.write("quit\n")
        process.stdin.close()
        assert process.wait(30) == 0, "it ends with the page open"
        assert "Traceback" not in process.stdout.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
