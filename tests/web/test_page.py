"""The page in a real browser: what is seen at the cursor, movements, questions, and addresses that open again."""

from __future__ import annotations

import re
from functools import partial

from selenium.webdriver import Keys

from tests.web.conftest import Page

PANIC = "panic_bad_magic"


def number(at: str) -> int:
    return int(at.partition(":")[0].replace(",", ""))


def test_it_opens_at_the_end_with_all_tracks(page: Page) -> None:
    assert page.text("#name") == "heapbug"
    assert "token" not in page.browser.current_url, "an address that is passed on must not have it"
    names = page.browser.execute_script("return rrdbg.model.tracks.map((track) => track.name)")
    assert {"snapshots", "interrupts", "console", "stops", "query hits", "bookmarks"} <= set(names)
    assert number(page.at) == page.browser.execute_script("return rrdbg.model.end")
    assert page.find(".here").is_displayed()
    page.tab("console")
    page.wait(lambda: page.texts("#lines .last .said"))
    assert page.texts("#lines .last .said")[0].startswith("PANIC: bad magic in task 3")


def test_a_step_back_shows_the_line_the_stack_and_what_has_changed(page: Page) -> None:
    end = number(page.at)
    page.moved(lambda: page.button("reverse-stepi").click())
    assert number(page.at) == end - 1
    page.type("break panic_bad_magic")
    page.moved(lambda: page.button("reverse-continue").click())
    page.wait(lambda: page.texts("#stack .function")[0] == PANIC)
    assert page.texts("#stack .function")[:3] == [PANIC, "schedule", "main"]
    assert PANIC in page.text("#source .now")
    assert page.text("#file").startswith("heapbug.c:")
    assert page.texts("#variables .variable")[0] == "number"
    assert page.text("#variables .value") == "3"
    page.tab("registers")
    page.moved(lambda: page.type("si"))
    changed = page.texts("#registers .changed .variable")
    assert "rip" in changed
    assert "cs" not in changed
    page.type("delete")


def test_letters_are_gdbs_and_enter_repeats_them(page: Page) -> None:
    page.type("seek 50%")
    start = number(page.at)
    page.find("h1").click()
    for key in ("r", "s", "i", Keys.ENTER):
        page.press(key)
    page.wait(lambda: number(page.at) == start - 1)
    page.wait(page.idle)
    page.press(Keys.ENTER)
    page.wait(lambda: number(page.at) == start - 2)
    page.wait(page.idle)
    page.moved(lambda: page.type("si 2"))
    assert number(page.at) == start


def test_the_chosen_function_is_the_one_that_is_looked_at(page: Page) -> None:
    page.type("end")
    page.type("break log_append")
    page.moved(lambda: page.button("reverse-continue").click())
    page.wait(lambda: page.texts("#stack .function")[0] == "log_append")
    page.button("up").click()
    page.wait(lambda: page.texts("#stack .chosen .function") == ["run_logger"])
    assert "log_append(task" in page.text("#source .now")
    page.button("down").click()
    page.wait(lambda: page.texts("#stack .chosen .function") == ["log_append"])
    page.type("delete")


def test_members_open_and_are_asked_about(page: Page) -> None:
    page.wait(lambda: "task" in page.texts("#variables .variable"))
    page.find('#variables [aria-label="Members of task"]').click()
    page.wait(lambda: page.all("#variables ul .value"))
    members = page.texts("#variables ul .variable")
    assert members[:3] == ["magic", "name", "run"]
    page.find('[data-expression="task->log_used"]').click()
    page.wait(lambda: page.find("#menu").is_displayed())
    assert any("origin" in entry.text for entry in page.all("#menu button"))
    page.press(Keys.ESCAPE)
    page.wait(lambda: not page.find("#menu").is_displayed())


def test_pointers_are_followed_through_memory(page: Page) -> None:
    page.find('[data-expression="task->name"]').click()
    page.choose("Its memory")
    page.wait(lambda: page.texts("#bytes .number"))
    assert page.find("#address").get_property("value") == "&(task->name)"
    page.find("#bytes .value").click()
    page.choose("Memory it points to")
    page.wait(lambda: page.texts("#bytes .letters-of") and page.texts("#bytes .letters-of")[0].startswith("logger"))


def test_calls_are_a_table_and_marks_and_a_row_goes_there(page: Page) -> None:
    page.type("calls log_append")
    page.wait(lambda: page.texts(".answer header code")[0] == "calls log_append")
    page.wait(lambda: re.match(r"\d+ found", page.texts(".answer .state")[0]))
    rows = page.all(".answer:first-child tbody tr")
    assert page.texts(".answer:first-child .state")[0] == f"{len(rows)} found"
    assert len(rows) > 3
    drawn = page.browser.execute_script(
        "return rrdbg.timeline.rows.find((row) => row.name === 'calls log_append').track.count"
    )
    assert drawn == len(rows)
    wanted = page.texts(".answer:first-child .go")[0]
    page.moved(lambda: page.find(".answer:first-child .go").click())
    assert page.at == wanted
    page.find(".answer:first-child header button:last-child").click()
    page.wait(
        lambda: "calls log_append" not in page.browser.execute_script("return rrdbg.timeline.rows.map((r) => r.name)")
    )


def test_where_a_value_came_from_is_a_chain_that_is_walked(page: Page) -> None:
    page.type("end")
    page.moved(lambda: page.type(f"previous-hit {PANIC}"))
    page.wait(lambda: page.texts("#stack .function")[0] == PANIC)
    page.find('[data-expression="number"]').click()
    page.choose("Where it came from")
    page.wait(lambda: page.idle() and page.texts(".answer:first-child header code") == ["origin number"])
    hops = page.texts(".answer:first-child .go")
    assert len(hops) > 1
    assert [number(hop) for hop in hops] == sorted((number(hop) for hop in hops), reverse=True)
    assert "origin+number" in page.browser.current_url
    page.moved(lambda: page.all(".answer:first-child .go")[-1].click())
    assert page.at == hops[-1]


def test_the_menu_of_a_function_goes_to_its_calls_and_leaves_no_breakpoint(page: Page) -> None:
    page.type("end")
    page.type("break schedule")
    before = page.texts(".answer")
    page.moved(lambda: page.type("previous-hit log_append"))
    for choice, way in (("Back to the call before", -1), ("On to the next call", 1)):
        here = number(page.at)
        page.wait(lambda: "log_append" in page.texts("#stack .function"))
        page.find("#stack .function").click()
        page.moved(partial(page.choose, choice))
        assert (number(page.at) - here) * way > 0
        assert page.texts("#stack .function")[0] == "log_append", "'schedule' was run in between"
    page.type("info breakpoints")
    page.wait(lambda: page.texts(".answer") != before)
    assert "schedule" in page.text(".answer pre")
    assert "log_append" not in page.text(".answer pre")
    page.type("delete")


def test_a_console_line_and_a_track_go_there(page: Page) -> None:
    page.type("end")
    page.tab("console")
    page.wait(lambda: page.texts("#lines .said"))
    first = page.texts("#lines .at")[0]
    page.moved(lambda: page.find("#lines button").click())
    assert page.at == first
    page.wait(lambda: page.texts("#lines .later .said"))


def test_search_finds_lines_functions_and_variables(page: Page) -> None:
    page.press("/")
    page.find("#search").send_keys("log")
    page.wait(lambda: {"functions", "variables"} & set(page.texts("#matches h3")))
    assert "log_append" in page.texts("#matches .said")
    page.find("#search").clear()
    page.find("#search").send_keys("PANIC")
    page.wait(lambda: any(text.startswith("PANIC") for text in page.texts("#matches .said")))
    page.moved(lambda: page.press(Keys.ENTER))
    page.find("#search").clear()
    page.wait(lambda: not page.find("#matches").is_displayed())


def test_an_address_opens_again_with_its_question(page: Page) -> None:
    page.type("seek 100,000")
    page.type("writes task_count")
    page.wait(lambda: page.texts(".answer .state")[0] == "6 found")
    address = page.browser.current_url
    assert "at=100000&ask=writes+task_count" in address
    page.type("end")
    page.open("?" + address.partition("?")[2])
    page.wait(lambda: page.texts(".answer .state")[:1] == ["6 found"])
    assert page.at == "100,000"


def test_what_is_no_question_is_not_run_by_an_address(page: Page) -> None:
    page.open("?at=100000&ask=bookmark+stolen")
    page.wait(lambda: page.find("#command").get_property("value") == "bookmark stolen")
    assert not page.texts(".answer")


def test_errors_are_told_in_the_page(page: Page) -> None:
    page.type("seek 200%")
    assert page.find("#said").get_attribute("class") == "error"
    for line in ("shell id", "python print(1)", "quit", 'print $_shell("id")', "what-if on"):
        page.type(line)
        assert "cannot be used" in page.text("#said"), line
    page.type("when")
    assert page.find("#said").get_attribute("class") != "error"


def test_answers_come_while_they_are_found_and_stop_keeps_them(page: Page) -> None:
    page.type("start")
    field = page.find("#command")
    field.click()
    field.send_keys("reads tasks[0].result", Keys.ENTER)
    page.wait(lambda: page.texts(".answer:first-child tbody tr"))
    assert page.texts(".answer:first-child header code") == ["reads tasks[0].result"]
    assert not page.idle()
    page.find("#stop").click()
    page.wait(page.idle)
    assert page.texts(".answer:first-child .state")[0].endswith("found, stopped")
    assert page.text("#said").startswith("Interrupted")
    assert page.at == "0"
