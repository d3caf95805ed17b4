"""The extension for VS Code: its own tests in Node, and the package."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rrdbg.frontends.dap.server import ALL

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "editors" / "vscode"


def test_in_node() -> None:
    node = shutil.which("node") or pytest.fail("node is missing; run 'make setup'")
    files = [str(file) for file in sorted((EXTENSION / "test").glob("*.test.js"))]
    done = subprocess.run([node, "--test", *files], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE)


def test_it_asks_for_what_the_adapter_answers() -> None:
    asked = set(re.findall(r'"(rrdbg/\w+)"', (EXTENSION / "extension.js").read_text())) - {"rrdbg/position"}
    assert len(asked) >= 7
    assert all(ALL.find(request) for request in asked)


@pytest.mark.parametrize("page", ["docs/howto/vscode.md", "editors/vscode/README.md"])
def test_the_launch_request_that_is_shown_is_one(page: str) -> None:
    (shown,) = re.findall(r'^\{ "type": "rrdbg".*\}$', (ROOT / page).read_text(), re.MULTILINE)
    request = json.loads(shown)
    (debugger,) = json.loads((EXTENSION / "package.json").read_text())["contributes"]["debuggers"]
    assert debugger["type"] == request.pop("type")
    assert request.pop("request") in debugger["configurationAttributes"]
    assert request.pop("name")
    assert set(request) <= set(debugger["configurationAttributes"]["launch"]["properties"])


def test_the_package(tmp_path: Path) -> None:
    pack = runpy.run_path(str(ROOT / "scripts" / "vsix.py"))["pack"]
    first, second = pack(tmp_path / "a"), pack(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        names = set(archive.namelist())
        package = json.loads(archive.read("extension/package.json"))
        manifest = ElementTree.fromstring(archive.read("extension.vsixmanifest"))
    assert f"extension/{package['main'].removeprefix('./')}" in names
    assets = {asset.attrib["Path"] for asset in manifest.iter() if asset.tag.endswith("Asset")}
    assert assets <= names
    assert {f"extension/{name}.js" for name in ("extension", "model")} <= names
