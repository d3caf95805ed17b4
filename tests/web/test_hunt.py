"""From the overview to the culprit by clicking alone, what is found kept in the notebook, and taken out of the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.web.conftest import Page, Served


@pytest.fixture(scope="module")
def downloads(browser: Chrome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("downloads")
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    return folder


@pytest.fixture(autouse=True)
def _only_clicks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written into the command line here."""

    def refuse(self: Page, line: str) -> None:
        raise AssertionError(f"{line} was to be typed")

    monkeypatch.setattr(Page, "type", refuse)


def test_the_culprit_is_found_by_clicking(page: Page) -> None:
    # The last thing on the console is the panic: go there.
    page.tab("console")
    page.wait(lambda: page.texts("#lines .last .said"))
    panic = page.all("#lines button")[-1]
    assert panic.text.split(None, 1)[1].startswith("PANIC: bad magic in task 3")
    page.moved(panic.click)
    # The printing function was called by the scheduler's check: up, to who complains.
    page.wait(lambda: "panic_bad_magic" in page.texts("#stack .function"))
    level = page.texts("#stack .function").index("schedule")
    page.all("#stack .frame")[level].click()
    page.wait(lambda: page.texts("#stack .chosen .function") == ["schedule"] and page.idle())
    # Its task has a wrong magic number. Who wrote that last?
    page.find('#variables [aria-label="Members of task"]').click()
    page.wait(lambda: "magic" in page.texts("#variables ul .variable"))
    magic = page.find("#variables ul .value")
    assert int(magic.text, 0) == 0x5461736B4D616700
    magic.click()
    page.moved(lambda: page.choose("Last write"))
    # It is the zero that log_append() puts behind a full log.
    page.wait(lambda: page.texts("#stack .function")[0] == "log_append")
    assert "the bug: log_used may be LOG_SIZE here" in page.text("#source .now")
    assert page.text(".answer:first-child .was") == f"{0x5461736B4D616769} (0x5461736b4d616769)"
    assert "0x5461736b4d616700" in page.text(".answer:first-child .becomes")


def test_what_was_found_is_kept_and_opens_again(page: Page) -> None:
    page.find(".answer:first-child header button").click()
    page.wait(lambda: page.texts(".entry header code"))
    assert page.texts(".entry header code")[0].startswith("last ")
    note = page.find(".entry textarea")
    note.send_keys("The zero behind a *full* log")
    page.find("h1").click()
    page.find("#notebook .bar button").click()
    page.wait(lambda: len(page.all(".entry")) == 2)
    at = page.at
    page.open()
    page.tab("notebook")
    page.wait(lambda: len(page.all(".entry")) == 2)
    assert page.find(".entry textarea").get_property("value") == "The zero behind a *full* log"
    assert page.texts(".entry .place .go")[1] == at


def test_the_notebook_leaves_as_markdown_and_as_a_page(page: Page, downloads: Path, served: Served) -> None:
    page.tab("notebook")
    page.wait(lambda: page.all(".entry"))
    at = page.texts(".entry .place .go")[0]
    for button in page.all("#notebook .bar button")[1:]:
        button.click()
    markdown, html = downloads / "heapbug-notebook.md", downloads / "heapbug-notebook.html"
    page.wait(lambda: markdown.exists() and html.exists())
    text = markdown.read_text()
    assert text.startswith("# What was found in heapbug\n")
    assert f"At **{at}**" in text
    assert "> The zero behind a \\*full\\* log" in text
    assert "    =>    45  " in text
    assert "the bug: log_used may be LOG_SIZE here" in text
    assert "    text = 0x" in text
    assert f"    task->magic: {0x5461736B4D616769} -> {0x5461736B4D616700}" in text
    # The server is not asked for anything by the page that was taken out.
    page.browser.get(html.as_uri())
    page.wait(lambda: page.texts(".entry header code"))
    assert page.text(".entry .remark") == "The zero behind a *full* log"
    assert page.texts(".entry .go")[0] == at
    tracks = page.browser.execute_script("return rrdbg.model.tracks.map((track) => track.name)")
    assert "console" in tracks
    assert page.complaints() == []
    page.open()
    assert not [path for path in served.recording.iterdir() if "notebook" in path.name], "it is the user's"
