"""heapbug as a page: one server for all that look at it, and the words of whoever does."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 30
"""Seconds that anything may take here; a machine may be busy with other tests."""


@dataclass(frozen=True)
class Served:
    """A server in a process of its own, where it is, and what it serves."""

    process: subprocess.Popen[str]
    address: str
    recording: Path

    @property
    def origin(self) -> str:
        return self.address.partition("/#")[0]

    @property
    def token(self) -> str:
        return self.address.partition("#token=")[2]


@dataclass
class Page:
    """The open page, in the words of its user."""

    browser: Chrome
    served: Served

    def open(self, query: str = "") -> None:
        """Open it anew, with a query in the address."""
        self.browser.get("about:blank")
        self.browser.get(f"{self.served.origin}/{query}#token={self.served.token}")
        self.wait(lambda: self.at)

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return str(self.find(selector).get_property("textContent"))

    def texts(self, selector: str) -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map((node) => node.textContent)"
        return [str(text) for text in self.browser.execute_script(script, selector)]

    def wait(self, condition: Callable[[], object], seconds: float = PATIENCE) -> None:
        ignored = (NoSuchElementException, StaleElementReferenceException)
        WebDriverWait(self.browser, seconds, 0.05, ignored).until(lambda _: condition())

    @property
    def at(self) -> str:
        """The position that the page says."""
        return self.find("#position").get_attribute("data-at") or ""

    def moved(self, act: Callable[[], object]) -> str:
        """Do something that moves the cursor; where it is then."""
        before = self.at
        act()
        self.wait(lambda: self.at != before and self.idle())
        return self.at

    def idle(self) -> bool:
        return "running" not in (self.find("body").get_attribute("class") or "").split()

    def button(self, line: str) -> WebElement:
        return self.find(f'[data-line="{line}"]')

    def type(self, line: str) -> None:
        """Write a command and have it run to its end."""
        field = self.find("#command")
        field.click()
        field.clear()
        field.send_keys(line, Keys.ENTER)
        self.wait(self.idle)

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def tab(self, name: str) -> None:
        self.find(f'[data-tab="{name}"]').click()

    def choose(self, text: str) -> None:
        """Click on what the open menu has under a name."""
        self.wait(lambda: self.find("#menu").is_displayed())
        entries = self.all("#menu button")
        wanted = [entry for entry in entries if entry.text.startswith(text)]
        assert wanted, [entry.text for entry in entries]
        wanted[0].click()

    def complaints(self) -> list[str]:
        """What the browser's console has, which is to be nothing."""
        return [entry["message"] for entry in self.browser.get_log("browser")]  # type: ignore[no-untyped-call]


def serve(recording: Path, *words: str) -> Served:
    # It outlives single tests, which look for what they have left among the temporary files.
    folder = Path(tempfile.gettempdir()).with_name("w")
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "rrdbg", "web", str(recording), "--no-browser", "--spares", "1", "--jobs", "1", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    assert process.stdout
    line = process.stdout.readline()
    assert " is at http://127.0.0.1:" in line, line + process.stdout.read()
    return Served(process, line.split()[-1], recording)


def end(served: Served) -> None:
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(PATIENCE) == 0
    assert served.process.stdout
    with served.process.stdout as output:
        said = output.read()
    assert "Traceback" not in said, said


def asked(served: Served, path: str, body: object = None, **headers: str) -> tuple[int, dict[str, str], str]:
    """The status, headers and text that are answered; a header's name may be written with underscores."""
    given = {"Host": served.origin.removeprefix("http://"), "x-rrdbg-token": served.token}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", int(served.origin.rpartition(":")[2]), timeout=60)
    try:
        method = "GET" if body is None else "POST"
        connection.request(method, path, None if body is None else json.dumps(body), given)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, heapbug: Path) -> Iterator[Served]:
    """A server on a copy of it."""
    copy = Path(shutil.copytree(heapbug, tmp_path_factory.mktemp("served") / "heapbug"))
    running = serve(copy)
    try:
        yield running
    finally:
        end(running)


@pytest.fixture(scope="module")
def opened(browser: Chrome, served: Served) -> Page:
    """Its page, opened once for a file of tests, at the end, without breakpoints and with an empty notebook."""
    assert asked(served, "/api/notebook", [])[0] == 200
    page = Page(browser, served)
    page.open()
    page.type("delete")
    page.type("end")
    return page


@pytest.fixture
def page(opened: Page) -> Iterator[Page]:
    """The page, wherever the test before has left it; nothing may be complained of."""
    yield opened
    assert opened.complaints() == []
