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
        page.wait(lambda: any("BUG: unable" in text for text in page.texts("#matches .said")))
        page.moved(lambda: page.find("#matches button").click())
        # The damaged object is the one that a global variable points to.
        page.find("#search").clear()
        page.find("#search").send_keys(firmware.VICTIM)
        page.wait(lambda: "variables" in page.texts("#matches h3"))
        wanted = "[...document.querySelectorAll('#matches .said')].find((node) => node.textContent === arguments[0])"
        page.browser.execute_script(f"{wanted}.closest('button').click()", firmware.VICTIM)
        page.choose("Its memory")
        page.wait(lambda: page.all("#bytes .value"))
        page.find("#bytes .value").click()
        page.choose("Memory it points to")
        page.wait(lambda: not page.find("#address").get_property("value").startswith("&") and page.all("#bytes .value"))
        page.find("#bytes .value").click()
        page.moved(lambda: page.choose("Last write"))
        page.wait(lambda: page.texts("#stack .function"))
        assert page.texts("#stack .function")[0] == "acpi_ex_system_memory_space_handler"
        # Who ran it: the firmware's method, by way of the call that is further up the stack.
        assert any(name.startswith("acpi_") for name in page.texts("#stack .function")[1:])
        assert page.complaints() == []
    finally:
        end(served)
