"""Make the pictures of docs/howto/web.md: `scripts/web_pictures.py RECORDING` serves it and looks at it in Chromium.

RECORDING is one of heapbug (tests/guests/heapbug), that ends with its panic.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions, ChromeService, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

FOLDER = Path(__file__).parent.parent / "docs" / "howto"
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
PATIENCE = 60

TWO_FRAMES = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"

NOTHING_KEPT = """
    for (let drop; (drop = document.querySelector(".entry header button"));) drop.click();
"""
"""What was kept when pictures were made before is taken out."""

NEAR_A_CALL = """
    const {at} = rrdbg.timeline.rows.find((row) => row.name === "calls log_append").track;
    rrdbg.timeline.view.show(at[1] - 3000, 12000);
"""


class Visitor:
    """Somebody at the page."""

    def __init__(self, browser: Chrome) -> None:
        self.browser = browser

    def until(self, script: str) -> None:
        """Wait until something holds in the page."""
        WebDriverWait(self.browser, PATIENCE, 0.05).until(lambda browser: browser.execute_script(f"return {script}"))

    def idle(self) -> None:
        """Wait until the page shows where the cursor is, and nothing runs."""
        self.until("document.getElementById('position').dataset.at && !document.body.classList.contains('running')")

    def type(self, line: str) -> None:
        """Have a line run to its end."""
        field = self.browser.find_element(By.ID, "command")
        field.clear()
        field.send_keys(line, Keys.ENTER)
        self.idle()

    def click(self, selector: str) -> None:
        """Click on the first element that there is."""
        self.browser.find_element(By.CSS_SELECTOR, selector).click()

    def picture(self, name: str, width: int, height: int, scheme: str = "light") -> None:
        """Take a picture of the page in that size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        # Two frames: the new size is told in one, and what it leads to is painted in the next.
        self.browser.execute_async_script(TWO_FRAMES)
        self.browser.save_screenshot(str(FOLDER / f"{name}.png"))
        print(f"{name}.png: {width} x {height}, {scheme}")


def visit(visitor: Visitor) -> None:
    """From the panic to the culprit, with a picture here and there."""
    visitor.idle()
    visitor.type("end")
    visitor.browser.execute_script(NOTHING_KEPT)
    visitor.browser.execute_script("document.querySelector('.offer')?.click()")  # or it is known already
    visitor.until("!document.querySelector('.offer')")
    visitor.click('[data-tab="console"]')
    visitor.click("#lines li:last-child button")
    visitor.idle()
    visitor.type("calls log_append")
    visitor.type("writes tasks[3].magic")
    visitor.type("last tasks[3].magic")
    visitor.click("#variables .open")
    visitor.until("document.querySelector('#variables ul .value')")
    visitor.picture("web", 1440, 900)
    visitor.picture("web-dark", 1440, 900, "dark")
    visitor.picture("web-narrow", 600, 1000)
    visitor.picture("web-wide", 2560, 1440)
    visitor.click(".answer:first-child header button")
    visitor.until("document.querySelector('.entry textarea')")
    note = visitor.browser.find_element(By.CSS_SELECTOR, ".entry textarea")
    note.send_keys("The zero behind a log that is full.")
    visitor.click("h1")
    visitor.picture("web-notebook", 1280, 800)
    visitor.browser.execute_script(NEAR_A_CALL)
    visitor.click("#flame")
    visitor.until("rrdbg.timeline.rows.some(({track}) => track && track.kind === 'flame')")
    visitor.idle()
    visitor.picture("web-flame", 1440, 900)


@contextmanager
def visiting(recording: str) -> Iterator[Visitor]:
    """Somebody at the page of ``recording``, which is served meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "rrdbg", "web", recording, "--no-browser"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout
            address = server.stdout.readline().split()[-1]
            options = ChromeOptions()
            options.binary_location = shutil.which("chromium") or sys.exit("chromium is missing; run 'make setup'")
            for option in (*OPTIONS, f"--user-data-dir={folder}"):
                options.add_argument(option)
            browser = Chrome(options, ChromeService(shutil.which("chromedriver")))
            try:
                browser.get(address)
                yield Visitor(browser)
            finally:
                browser.quit()
                server.terminate()


def main() -> None:
    """Serve, visit, end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording")
    with visiting(parser.parse_args().recording) as visitor:
        visit(visitor)


if __name__ == "__main__":
    main()
