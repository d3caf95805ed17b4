"""A flame chart of a stretch, who ran, and where other sessions are: in the page, against what else is known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Keys

from tests.web.conftest import PATIENCE, Page, asked

FLAME = """
    const row = rrdbg.timeline.rows.find((known) => known.track && known.track.kind === "flame");
    if (!row) return null;
    const {track} = row, {depth, every, samples} = track.columns;
    return {
      name: row.name, height: row.height, every, samples,
      slices: Array.from(track.at, (at, mark) => [depth[mark], track.text(mark), at, at + track.span(mark)]),
    };
"""
PLACE = """
    const [name, icount] = arguments, {timeline} = rrdbg;
    const {canvas} = timeline.rows.find((known) => known.name === name), box = canvas.getBoundingClientRect();
    return [6 + (icount - timeline.view.from) / timeline.view.span * (box.width - 12), box.width, box.height];
"""


STACKS = """
    const [samples, done] = arguments;
    import("/page/stacks.js").then(({Stacks}) => {
      const stacks = new Stacks();
      for (const [icount, names] of samples) stacks.add({position: {icount}, instructions: 10, names, running: null});
      const {at, span, depth, text} = stacks;
      done(at.map((start, mark) => [depth[mark], text[mark], start, start + span[mark]]));
    });
"""


def click_at(page: Page, row: str, icount: int, height: float) -> None:
    """Click in a row of the timeline, at an icount."""
    x, width, high = page.browser.execute_script(PLACE, row, icount)
    canvas = page.find(f'[data-track="{row}"] canvas')
    page.browser.execute_script("arguments[0].scrollIntoView({block: 'nearest'})", canvas)
    ActionChains(page.browser).move_to_element_with_offset(canvas, x - width / 2, height - high / 2).click().perform()


def number(at: str) -> int:
    return int(at.partition(":")[0].replace(",", ""))


def test_stacks_are_put_together_as_calls(page: Page) -> None:
    samples = [
        (0, ["b", "a"]), (10, ["b", "a"]), (20, ["c", "a"]), (30, ["a"]),  # innermost first, as GDB has them
        (50, ["b", "a"]), (65, ["b", "a"]), (70, ["c"]),  # one is left out, and one is late
    ]  # fmt: skip
    assert page.browser.execute_async_script(STACKS, samples) == [
        [0, "a", 0, 40], [1, "b", 0, 20], [1, "c", 20, 30],
        [0, "a", 50, 70], [1, "b", 50, 70], [0, "c", 70, 80],
    ]  # fmt: skip


def test_a_call_is_drawn_with_what_has_called_it(page: Page) -> None:
    page.type("end")
    page.type("delete")
    page.type("calls log_append")
    page.wait(lambda: page.texts(".answer td .flame"))
    columns = page.texts(".answer:first-child th")
    row = page.texts(".answer:first-child tbody tr:first-child td")
    start, length = number(row[0]), int("".join(filter(str.isdigit, row[columns.index("instructions")])))
    spans = page.browser.execute_script(
        "return rrdbg.timeline.rows.find((row) => row.name === 'calls log_append').track.columns.span"
    )
    assert spans[0] == length, "its marks on the line are as long as the calls"
    page.find(".answer td .flame").click()
    page.wait(lambda: page.idle() and page.browser.execute_script(FLAME))
    flame = page.browser.execute_script(FLAME)
    assert flame["name"] == f"profile from {start} to {start + length}"
    assert flame["every"] == 1
    ((deep, name, begin, end),) = [part for part in flame["slices"] if part[1] == "log_append"]
    assert (begin, end) == (start, start + length), "the call is where 'calls' has it"
    called = {depth: function for depth, function, *_ in flame["slices"] if depth < deep}
    assert [called[depth] for depth in range(deep - 3, deep)] == ["main", "schedule", "run_logger"]
    assert {"main", "run_logger", name} <= set(page.texts(".answer:first-child td")), "the table has them, too"
    page.find(".answer:first-child td .function").click()
    page.wait(lambda: any(text.startswith("All calls") for text in page.texts("#menu button")))
    page.press(Keys.ESCAPE)
    page.wait(lambda: not page.find("#menu").is_displayed())
    # A click goes there, and what was called is what was drawn.
    page.moved(lambda: click_at(page, flame["name"], (begin + end) // 2, deep * 16 + 10))
    assert begin <= number(page.at) <= end
    page.wait(lambda: page.texts("#stack .function"))
    assert page.texts("#stack .function")[:3] == [name, "run_logger", "schedule"]
    page.find(".answer:first-child header button:last-child").click()
    page.wait(lambda: page.browser.execute_script(FLAME) is None)


def test_a_flame_chart_of_what_is_in_view_has_an_address(page: Page) -> None:
    # What that call comes back to is near, and so are the instructions before it.
    page.browser.execute_script(
        "const {timeline} = rrdbg; timeline.view.show(arguments[0] - 20, 40);"
        "timeline.choose(timeline.rows.findIndex((row) => row.name === 'interrupts'))",
        number(page.at),
    )
    page.find("#flame").click()
    page.wait(lambda: page.idle() and page.browser.execute_script(FLAME))
    flame = page.browser.execute_script(FLAME)
    chosen = "return rrdbg.timeline.rows[rrdbg.timeline.chosen].name"
    assert page.browser.execute_script(chosen) == "interrupts", "the chosen track stays chosen below a new one"
    middle = number(page.at)
    assert flame["name"] == f"profile from {middle - 20} to {middle + 20}"
    assert flame["samples"] == list(range(middle - 20, middle + 20))
    assert "log_append" in {name for _, name, *_ in flame["slices"]}
    query = page.browser.execute_script("return location.search")
    assert "ask=profile" in query
    page.open(query)
    page.wait(lambda: page.idle() and page.browser.execute_script(FLAME))
    assert page.browser.execute_script(FLAME)["slices"] == flame["slices"]


def test_a_flame_chart_that_was_kept_is_on_the_page_that_is_exported(page: Page, tmp_path: Path) -> None:
    flame = page.browser.execute_script(FLAME)
    page.tab("answers")
    page.find(".answer:first-child header button").click()
    page.wait(lambda: page.texts(".entry header code") == [flame["name"]])
    status, _, text = asked(page.served, "/api/export?form=markdown")
    assert status == 200
    assert f"## 1. `{flame['name']}`" in text
    assert "| `log_append` |" in text
    html = tmp_path / "kept.html"
    html.write_text(asked(page.served, "/api/export?form=page")[2])
    page.browser.get(html.as_uri())
    page.wait(lambda: page.browser.execute_script(FLAME))
    kept = page.browser.execute_script(FLAME)
    assert (kept["name"], kept["slices"]) == (flame["name"], flame["slices"])
    assert page.complaints() == []
    page.open()


MARKS = """
    const {track} = rrdbg.timeline.rows.find((row) => row.name === "who ran");
    return Array.from(track.at, (at, mark) => [at, at + track.span(mark), track.text(mark)]);
"""


def test_who_ran_is_on_the_line_once_somebody_has_looked(page: Page) -> None:
    assert page.browser.execute_script(MARKS) == []
    assert page.find('[data-track="who ran"] .offer').is_displayed()
    # In the firmware nothing has a name, so it is the level there.
    page.type("info ran from 100000 to 100010")
    page.wait(lambda: page.browser.execute_script(MARKS))
    assert page.browser.execute_script(MARKS) in ([[100_000, 100_010, "ring 0"]], [[100_000, 100_010, "real mode"]])
    assert not page.all('[data-track="who ran"] .offer')
    page.type("end")
    page.type("previous-hit log_append")
    page.type("info ran from -10 to +10")
    page.wait(lambda: len(page.browser.execute_script(MARKS)) > 1)
    found = page.browser.execute_script(MARKS)
    at, _, name = found[-1]
    assert at == number(page.at)
    assert page.texts("#stack .function")[0] == name == "log_append"
    page.open()
    assert page.browser.execute_script(MARKS) == found, "it is kept"


@pytest.mark.matrix
def test_a_click_looks_at_the_whole_run(page: Page) -> None:
    page.browser.execute_script("rrdbg.timeline.offers['who ran'].act()")
    page.wait(lambda: page.idle() and len(page.browser.execute_script(MARKS)) > 10, 8 * PATIENCE)
    found = page.browser.execute_script(MARKS)
    assert {"run_adder", "run_mixer"} <= {name for *_, name in found}
    assert found[-1][1] == page.browser.execute_script("return rrdbg.model.end")


def test_where_another_session_is_is_seen_and_gone_to(page: Page) -> None:
    page.type("end")
    page.browser.execute_script("rrdbg.timeline.view.show(0, rrdbg.timeline.view.whole)")
    words = [sys.executable, "-m", "rrdbg", "replay", str(page.served.recording), "--no-gdb", "--spares", "0", "--at"]
    process = subprocess.Popen([*words, "start"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stdin
    try:
        page.wait(lambda: page.texts(".other button") == [f"replay[{process.pid}]"])
        process.stdin.write("seek 200,000\n")
        process.stdin.flush()
        page.wait(lambda: page.find(".other").get_attribute("data-at") == "200,000")
        page.moved(lambda: page.find(".other button").click())
        assert page.at == "200,000"
        page.type("info clients")
        assert f"{process.pid}" in page.text(".answer pre")
        process.stdin.write("quit\n")
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
        page.wait(lambda: not page.all(".other"))
    finally:
        process.kill()
        process.wait()
