"""The page in a real browser: what is drawn, zoom, pan, hover, click and the keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from rrdbg.model.timeline.tracks import TimelineTracks
from rrdbg.render.page import timeline_page

EDGE = 6
"""Pixels that the page leaves free at both ends of a track."""


@dataclass
class Page:
    """The open page, in the words of its user."""

    browser: Chrome
    tracks: TimelineTracks

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return str(self.find(selector).get_property("textContent"))

    def wait(self, condition: Callable[[], object]) -> None:
        WebDriverWait(self.browser, 10, poll_frequency=0.02).until(lambda _: condition())

    def row(self, name: str) -> WebElement:
        return self.find(f'[data-track="{name}"] canvas')

    @property
    def shown(self) -> tuple[float, float]:
        """The icounts at both ends of the view, as they were drawn last."""
        area = self.find("#tracks")
        return float(area.get_attribute("data-from") or "nan"), float(area.get_attribute("data-to") or "nan")

    def until_drawn(self, before: tuple[float, float]) -> tuple[float, float]:
        self.wait(lambda: self.shown != before)
        return self.shown

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def point(self, name: str, icount: float) -> ActionChains:
        """Move the mouse to an icount on a track."""
        canvas = self.row(name)
        width = canvas.size["width"]
        start, end = self.shown
        x = EDGE + (icount - start) / (end - start) * (width - 2 * EDGE)
        return ActionChains(self.browser).move_to_element_with_offset(canvas, round(x - width / 2), 2)

    def clipboard(self) -> str:
        self.browser.execute_cdp_cmd(
            "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
        )
        return str(self.browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])"))


@pytest.fixture
def page(browser: Chrome, tracks: TimelineTracks, tmp_path: Path) -> Iterator[Page]:
    file = tmp_path / "page.html"
    file.write_text(timeline_page(tracks))
    browser.get(file.as_uri())
    found = Page(browser, tracks)
    found.wait(lambda: found.shown[1] == tracks.end.icount)
    yield found
    assert browser.get_log("browser") == [], "the page complains about nothing, and fetches nothing"  # type: ignore[no-untyped-call]


def painted(page: Page, name: str) -> int:
    """How many pixels of a track have the track's colour, and not a shade of grey."""
    script = """
        const {width, height} = arguments[0];
        const pixels = arguments[0].getContext("2d").getImageData(0, 0, width, height).data;
        let count = 0;
        for (let at = 0; at < pixels.length; at += 4) {
          const [red, green, blue, alpha] = pixels.slice(at, at + 4);
          if (alpha > 200 && Math.max(red, green, blue) - Math.min(red, green, blue) > 60) count += 1;
        }
        return count;
    """
    return int(page.browser.execute_script(script, page.row(name)))


def test_each_track_is_there_with_its_count_and_is_drawn(page: Page) -> None:
    labels = page.browser.find_elements(By.CSS_SELECTOR, ".row")
    names = [label.get_attribute("data-track") for label in labels]
    expected = [track.name for track in page.tracks.tracks]
    assert names == ["whole", "position", *expected, "replay speed", "guest time"]
    for track in page.tracks.tracks:
        label = page.find(f'[data-track="{track.name}"] .label i')
        assert label.text == f"{track.count:,}"
        assert (painted(page, track.name) > 0) == bool(track.count), track.name
    assert painted(page, "replay speed") > 500
    assert page.text("h1") == "travelled"
    assert f"{page.tracks.end.icount:,} instructions" in page.text("#facts")


SIZES = "const page = document.documentElement; return [page.scrollWidth, page.scrollHeight, innerWidth, innerHeight]"


def test_everything_fits_a_small_screen_and_nothing_overlaps_on_a_smaller_one(page: Page) -> None:
    def resize(width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    try:
        resize(1280, 720)
        width, height, inner_width, inner_height = page.browser.execute_script(SIZES)
        assert (inner_width, inner_height) == (1280, 720)
        assert (width, height) == (1280, 720), "there is nothing to scroll"
        resize(800, 500)
        lines, help_line = page.find("#lines").rect, page.find("#help").rect
        assert lines["height"] > 100
        assert lines["y"] + lines["height"] <= help_line["y"]
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_zoom_and_pan_with_the_keyboard(page: Page) -> None:
    whole = page.shown
    page.press("+")
    zoomed = page.until_drawn(whole)
    assert zoomed[1] - zoomed[0] == pytest.approx(whole[1] / 2)
    assert sum(zoomed) == pytest.approx(sum(whole))
    page.press(Keys.ARROW_RIGHT)
    panned = page.until_drawn(zoomed)
    assert panned[0] - zoomed[0] == pytest.approx((zoomed[1] - zoomed[0]) / 5)
    page.press(Keys.ARROW_LEFT)
    assert page.until_drawn(panned) == pytest.approx(zoomed)
    page.press(Keys.END)
    assert page.until_drawn(zoomed)[1] == whole[1]
    page.press("-", "-", "-")
    assert page.until_drawn((0, 0)) is not None
    page.wait(lambda: page.shown == whole)


def test_zoom_with_the_wheel_keeps_the_place_under_the_mouse(page: Page) -> None:
    whole = page.shown
    canvas = page.row("console")
    quarter = -canvas.size["width"] // 4
    origin = ScrollOrigin.from_element(canvas, quarter, 0)
    ActionChains(page.browser).scroll_from_origin(origin, 0, -800).perform()
    start, end = page.until_drawn(whole)
    assert end - start < whole[1] / 4
    assert start + (end - start) / 4 == pytest.approx(whole[1] / 4, rel=0.02)
    # Never further in than some instructions, never out of the recording.
    ActionChains(page.browser).scroll_from_origin(origin, 0, -20_000).perform()
    page.wait(lambda: page.shown[1] - page.shown[0] == pytest.approx(16))
    page.find("#all").click()
    page.wait(lambda: page.shown == whole)


def test_dragging_pans(page: Page) -> None:
    page.press("+", "+")
    page.wait(lambda: page.shown[1] - page.shown[0] == pytest.approx(page.tracks.end.icount / 4))
    before = page.shown
    canvas = page.row("interrupts")
    ActionChains(page.browser).drag_and_drop_by_offset(canvas, 200, 0).perform()
    after = page.until_drawn(before)
    moved = (before[1] - before[0]) / (canvas.size["width"] - 2 * EDGE) * 200
    assert before[0] - after[0] == pytest.approx(moved, rel=0.02)
    assert not page.find("#toast").text, "a drag is no click"


def test_two_fingers_zoom_and_one_pans(page: Page) -> None:
    whole = page.shown
    box = page.row("console").rect
    middle, y = box["x"] + box["width"] / 2, box["y"] + 8

    def touch(kind: str, *xs: float) -> None:
        points = [{"x": x, "y": y, "id": finger} for finger, x in enumerate(xs)]
        page.browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", middle - 50, middle + 50)
    touch("touchMove", middle - 100, middle + 50)
    touch("touchMove", middle - 100, middle + 100)
    touch("touchEnd")
    zoomed = page.until_drawn(whole)
    assert zoomed[1] - zoomed[0] == pytest.approx(whole[1] / 2, rel=0.02)
    touch("touchStart", middle)
    touch("touchMove", middle - 60)
    touch("touchMove", middle - 120)
    touch("touchEnd")
    panned = page.until_drawn(zoomed)
    assert panned[0] - zoomed[0] == pytest.approx((zoomed[1] - zoomed[0]) * 120 / (box["width"] - 2 * EDGE), rel=0.05)
    assert not page.find("#toast").text, "none of it is a tap"


def test_pointing_shows_details_and_a_click_copies_the_command(page: Page) -> None:
    (bookmark,) = page.tracks.track("bookmarks").marks
    page.point("bookmarks", bookmark.position.icount).perform()
    tip = page.find(".tip")
    page.wait(tip.is_displayed)
    assert tip.text.splitlines()[0] == "bookmark"
    assert f"{bookmark.position}" in tip.text
    assert "@middle" in tip.text
    page.point("bookmarks", bookmark.position.icount).click().perform()
    page.wait(lambda: "Copied" in page.text("#toast"))
    assert page.clipboard() == f"seek {bookmark.position}"


def test_pointing_at_a_snapshot_tells_what_it_costs(page: Page) -> None:
    # At the start there are two, in one place, which tells how many they are.
    marks = [mark for mark in page.tracks.track("snapshots").marks if mark.position.icount > 1]
    assert marks
    for mark in marks:
        page.point("snapshots", mark.position.icount).perform()
        page.wait(lambda mark=mark: mark.text in page.find(".tip").text)  # type: ignore[misc]


def test_pointing_at_interrupts_tells_how_many(page: Page) -> None:
    marks = page.tracks.track("interrupts").marks
    page.point("interrupts", marks[len(marks) // 2].position.icount).perform()
    page.wait(lambda: "interrupt" in page.find(".tip").text)
    page.press("0")
    page.point("interrupts", 3).click().perform()
    page.wait(lambda: "Copied" in page.text("#toast"))
    assert page.clipboard().startswith("seek ")


def test_marks_are_visited_with_the_keyboard(page: Page) -> None:
    names = [track.name for track in page.tracks.tracks]
    page.press(*[Keys.ARROW_DOWN] * (names.index("stops") + 1))
    assert page.text(".row.chosen b").startswith("stops")
    first, second = page.tracks.track("stops").marks
    for key, mark in ((".", first), (".", second), (".", second), (",", first)):
        page.press(key)
        assert f"{mark.position}" in page.text(".spoken")
    page.press(Keys.ENTER)
    page.wait(lambda: "Copied" in page.text("#toast"))
    assert page.clipboard() == f"seek {first.position}"


def test_the_console_is_listed_as_far_as_it_is_in_view(page: Page) -> None:
    lines = page.tracks.track("console").marks
    page.wait(lambda: len(page.browser.find_elements(By.CSS_SELECTOR, "#lines li")) == len(lines))
    assert page.text("#console-title") == f"Console: {len(lines)} of {len(lines)} lines in view"
    page.find("#lines button:nth-of-type(1)").click()
    page.wait(lambda: "Copied" in page.text("#toast"))
    assert page.clipboard() == f"seek {lines[0].position}"
    ActionChains(page.browser).move_to_element(page.row("console")).double_click().perform()
    page.wait(lambda: page.text("#console-title") != f"Console: {len(lines)} of {len(lines)} lines in view")
    start, end = page.shown
    inside = [mark.text for mark in lines if start <= mark.position.icount <= end]
    shown = page.browser.find_elements(By.CSS_SELECTOR, "#lines button:not(.earlier) .said")
    assert [line.text for line in shown] == inside


def test_the_guests_clock_is_read_as_rrdbg_reads_it(page: Page) -> None:
    for knot in page.tracks.knots:
        for phase, time in ((0, knot.before), (1, knot.after)):
            assert page.browser.execute_script(f"return rrdbg.model.timeAt({knot.icount}, {phase})") == time
            found = page.browser.execute_script(f"return rrdbg.model.icountAtTime({time})")
            assert found == pytest.approx(knot.icount, abs=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_colour_scheme(page: Page, scheme: str) -> None:
    page.browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    background = page.find("body").value_of_css_property("background-color")
    red = int(background.removeprefix("rgba(").split(",")[0])
    assert (red > 200) == (scheme == "light")
    before = painted(page, "interrupts")
    assert before > 0
