"""How the page looks: sizes, light and dark, and by keys alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver import Keys

from tests.web.conftest import Page

SIZES = [(1280, 720), (1920, 1080), (3840, 2160)]
OVERFLOW = (
    "return [document.documentElement.scrollWidth - innerWidth, document.documentElement.scrollHeight - innerHeight]"
)
# What one works with: it is on the page, whole, and not on anything else that one works with.
COVERED = """
    const parts = [...document.querySelectorAll(
      "header > *, #toolbar > *, #moves :is(button, input, output), .tabs > *, .heading > h2, .heading button",
    )].filter((node) => node.checkVisibility());
    const boxes = parts.map((node) => node.getBoundingClientRect()), name = (node) => node.id || node.textContent;
    const wrong = [];
    parts.forEach((node, index) => {
      const a = boxes[index], tight = node.matches("button") && node.scrollWidth > node.clientWidth + 1;
      if (a.left < -1 || a.right > innerWidth + 1 || tight) wrong.push(name(node));
      for (let other = index + 1; other < parts.length; other++) {
        const b = boxes[other];
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 1 && !node.contains(parts[other])) wrong.push(`${name(node)} on ${name(parts[other])}`);
      }
    });
    return wrong;
"""
CONTRAST = """
    const light = (text) => {
      const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map((part) => {
        part /= 255;
        return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const back = (node) => {
      for (; node; node = node.parentElement) {
        const colour = getComputedStyle(node).backgroundColor;
        if (!/, 0\\)$/.test(colour)) return colour;
      }
      return "rgb(255, 255, 255)";
    };
    return [...document.querySelectorAll(arguments[0])].map((node) => {
      const pair = [light(getComputedStyle(node).color), light(back(node))].sort((a, b) => b - a);
      return (pair[0] + 0.05) / (pair[1] + 0.05);
    });
"""
READ = (
    "h1", "#facts", "#range", ".label b", "#position b", "#position span", ".letters button", ".tabs button", ".number",
    ".value", ".type", ".where",
)  # fmt: skip


@pytest.fixture
def sized(page: Page) -> Iterator[Page]:
    yield page
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def resize(page: Page, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@pytest.mark.matrix
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_everything_fits_and_every_pane_has_room(sized: Page, width: int, height: int) -> None:
    resize(sized, width, height)
    sized.wait(lambda: sized.browser.execute_script("return innerWidth") == width)
    assert max(sized.browser.execute_script(OVERFLOW)) <= 0
    assert sized.browser.execute_script(COVERED) == []
    for pane in ("#code", "#state", "#more"):
        assert sized.find(pane).rect["height"] > 180, pane
    # A wide page has the guest beside the answers, and a smaller one has them in one pane.
    assert sized.find("#aside").is_displayed() == (width > 2200)
    sized.tab("answers")
    sized.tab("registers")
    assert sized.find("#answers").is_displayed() == (width > 2200)
    # The buttons and the command line stand in one row.
    tops = {round(sized.find(part).rect["y"] / 20) for part in ("#back", "#forth", "#commanding", "#stop")}
    assert len(tops) == 1


@pytest.mark.matrix
def test_what_was_found_stays_in_sight_when_a_wide_window_is_made_smaller(sized: Page) -> None:
    sized.tab("registers")
    resize(sized, 3840, 2160)
    sized.wait(lambda: sized.find("#aside").is_displayed())
    sized.tab("notebook")
    resize(sized, 1280, 900)
    sized.wait(lambda: not sized.find("#aside").is_displayed())
    assert [sized.find(f"#{name}").is_displayed() for name in ("notebook", "registers")] == [True, False]


@pytest.mark.matrix
@pytest.mark.parametrize("width", [600, 390])
def test_a_narrow_window_has_all_below_each_other(sized: Page, width: int) -> None:
    resize(sized, width, 900)
    sized.wait(lambda: sized.browser.execute_script("return innerWidth") == width)
    assert sized.browser.execute_script(OVERFLOW)[0] <= 0
    assert sized.browser.execute_script(COVERED) == []
    tops = [sized.find(pane).rect["y"] for pane in ("#code", "#state", "#more")]
    assert tops == sorted(tops)
    assert tops[1] - tops[0] > 300


@pytest.mark.matrix
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_that_is_read_stands_out(sized: Page, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    sized.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    sized.tab("registers")
    for selector in READ:
        found = sized.browser.execute_script(CONTRAST, selector)
        # What the guidelines for accessible pages demand of text is 4.5.
        assert all(ratio >= 4.5 for ratio in found), (selector, min(found))


def test_it_is_worked_by_keys_alone(page: Page) -> None:
    page.press(Keys.ESCAPE)  # out of the command line
    page.press("/")
    page.browser.switch_to.active_element.send_keys("round 100")
    page.wait(lambda: any("round 100" in text for text in page.texts("#matches .said")))
    before = page.at
    page.press(Keys.ENTER)
    page.wait(lambda: page.at != before and page.idle())
    # The tracks: down to the interrupts, on to the second mark, and there.
    page.find("#tracks").send_keys("")
    page.browser.execute_script("document.activeElement.blur()")
    for _ in range(3):
        page.press(Keys.ARROW_DOWN)
    assert page.text(".row.chosen b span") == "interrupts"
    page.press(".", ".")
    page.moved(lambda: page.press(Keys.ENTER))
    second = page.browser.execute_script("return rrdbg.model.track('interrupts').at[1]")
    assert int(page.at.partition(":")[0].replace(",", "")) == second
    # A value: Tab reaches it, Enter opens the menu, the arrows choose, Escape leaves it where one was.
    page.browser.execute_script("document.querySelector('#registers .value, #variables .value').focus()")
    page.tab("registers")
    page.browser.execute_script("document.querySelector('#registers .value').focus()")
    page.press(Keys.ENTER)
    page.wait(lambda: page.find("#menu").is_displayed())
    first = page.browser.switch_to.active_element.text
    page.press(Keys.ARROW_DOWN)
    assert page.browser.switch_to.active_element.text != first
    page.press(Keys.ESCAPE)
    page.wait(lambda: not page.find("#menu").is_displayed())
    assert page.browser.switch_to.active_element.get_attribute("class") == "value"
