"""From a Linux kernel's oops to the write that damaged the object it met, by clicking (tests/guests/linux/firmware)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from tests.cli.conftest import QEMU
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.linux import QEMU_OPTIONS, build_buggy_linux, firmware, make_symbols
from tests.web.conftest import Page, end, serve

pytestmark = [pytest.mark.matrix, pytest.mark.linux, pytest.mark.timeout(600)]


def pick(page: Page, text: str) -> None:
    """Click on what the search has found, once it has."""
    found = """
        const said = [...document.querySelectorAll("#matches .said")].map((node) => [node.textContent, node]);
        const [, node] = said.find(([text]) => text === arguments[0]) ||
          said.find(([text]) => text.includes(` ${arguments[0]}`)) || [];
        if (node) node.closest("button").click();
        return node !== undefined;
    """
    page.wait(lambda: page.browser.execute_script(found, text))


def test_an_oops_is_followed_back_into_the_firmware(browser: Chrome, tmp_path: Path) -> None:
    with failing_clearly("linux"):
        guest = build_buggy_linux(GUEST_DIR)
        symbols = make_symbols(guest)
    command = (
        QEMU, *QEMU_OPTIONS, "-nographic", "-no-reboot",
        "-kernel", str(guest.kernel), "-initrd", str(guest.initrd), "-append", guest.cmdline,
    )  # fmt: skip
    recording = tmp_path / "oops"
    asyncio.run(Recorder(RecordRequest(command, recording, until_console="Kernel panic")).run())
    served = serve(recording, "--symbols", str(symbols))
    try:
        page = Page(browser, served)
        page.open()
        # The oops is a line of the console: go there.
        page.press("/")
        page.find("#search").send_keys("unable to handle page fault")
        pick(page, "BUG: unable to handle page fault")
        page.wait(lambda: page.idle() and page.texts("#stack .function"))
        # The damaged object is the one that a global variable points to.
        page.press("/")
        page.find("#search").clear()
        page.find("#search").send_keys(firmware.VICTIM)
        pick(page, firmware.VICTIM)
        page.choose("Its memory")
        page.wait(lambda: page.all("#bytes .value"))
        page.find("#bytes .value").click()
        pointer = page.text("#bytes .number")
        page.choose("Memory it points to")
        page.wait(lambda: page.text("#bytes .number") != pointer)
        page.find("#bytes .value").click()
        page.moved(lambda: page.choose("Last write"))
        page.wait(lambda: page.texts("#stack .function"))
        assert page.texts("#stack .function")[0] == "acpi_ex_system_memory_space_handler"
        # Which of the firmware's methods was run then: the call before this, and the name that it was given.
        page.press("/")
        page.find("#search").clear()
        page.find("#search").send_keys("acpi_evaluate_object")
        pick(page, "acpi_evaluate_object")
        page.moved(lambda: page.choose("Back to the call before"))
        page.wait(lambda: page.idle() and page.texts("#stack .function")[0] == "acpi_evaluate_object")
        page.tab("registers")
        at = page.texts("#registers .variable").index("rsi")
        page.all("#registers .value")[at].click()
        page.choose("Memory it points to")
        page.wait(lambda: "_SUN" in "".join(page.texts("#bytes .letters-of")))
        assert page.complaints() == []
    finally:
        end(served)
