"""The timeline in the extension's webview, in a real browser that stands in for the editor: a click there is a seek."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome

from rrdbg.engine.queries.tracks import timeline_tracks
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline
from tests.dap.editor import editing
from tests.timeline.test_browser import Page

MODEL = Path(__file__).parents[2] / "editors" / "vscode" / "model.js"
HOST = "window.told = []; window.acquireVsCodeApi = () => ({ postMessage: (message) => window.told.push(message) });"
"""What an editor gives its webviews; here it keeps what the page says."""


@pytest.fixture
def webview(browser: Chrome) -> Iterator[Chrome]:
    """A browser that is to a page what an editor is."""
    made = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": HOST})
    yield browser
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", made)


def in_node(expression: str, given: object) -> Any:
    """What an expression of the extension's ``model`` and a ``given`` value is."""
    node = shutil.which("node") or pytest.fail("node is missing; run 'make setup'")
    script = (
        f"const model = require({json.dumps(str(MODEL))}); const given = JSON.parse(require('fs').readFileSync(0));"
        f"process.stdout.write(JSON.stringify({expression}))"
    )
    done = subprocess.run([node, "-e", script], input=json.dumps(given), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def complaints(browser: Chrome) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]


async def test_a_click_goes_there(webview: Chrome, workload: Path, tmp_path: Path) -> None:
    recording = Recording.peek(workload)
    tracks = timeline_tracks(recording, load_timeline(recording))
    async with editing(tmp_path, str(workload)) as editor:
        await editor.begin(at="50%")
        told = (await editor.ask("rrdbg/timeline", form="html"))["page"]
        shown = in_node("model.webviewPage(given)", told)
        file = tmp_path / "webview.html"
        file.write_text(shown)
        webview.get(file.as_uri())
        page = Page(webview, tracks)
        page.wait(lambda: page.shown[1] == tracks.end.icount)
        printed = tracks.track("console").marks[0].position
        interrupts = [mark.position for mark in tracks.track("interrupts").marks]
        middle = interrupts[len(interrupts) // 2]

        page.wait(lambda: page.find("#lines button"))
        page.find("#lines button").click()
        page.point("interrupts", middle.icount).perform()
        page.wait(lambda: "click: go to " in page.text(".tip"))
        page.point("interrupts", middle.icount).click().perform()
        page.wait(lambda: len(webview.execute_script("return window.told")) == 3)
        ready, *clicks = webview.execute_script("return window.told")
        assert ready == {"ready": True}
        asked = in_node("given.map(model.asked)", clicks)
        assert asked[0] == str(printed)
        assert asked[1] in {str(position) for position in interrupts}, "one that lies under the pointer"
        assert page.text("#toast") == "", "nothing was copied"
        assert "click or Enter: go there" in page.text("#help")
        for position in asked:
            stop = await editor.move("rrdbg/seek", position=position)
            assert stop["text"] == position
            webview.execute_script(
                "window.postMessage(arguments[0], '*')", {key: stop[key] for key in ("icount", "phase")}
            )
            page.wait(lambda position=position: page.find(".here").get_attribute("data-at") == position)  # type: ignore[misc]
        assert complaints(webview) == []

        # What gets into the page in spite of all is not run.
        file.write_text(shown.replace("</body>", "<script>window.told.push({ position: '1' })</script></body>"))
        webview.get(file.as_uri())
        page.wait(lambda: page.shown[1] == tracks.end.icount)
        assert webview.execute_script("return window.told") == [{"ready": True}]
        assert "Content Security Policy" in " ".join(complaints(webview))
