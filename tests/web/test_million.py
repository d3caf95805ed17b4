"""A million events in the page: what is painted is bounded by the pixels, and all of them are there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.conftest import Page

pytestmark = pytest.mark.matrix

BARE, WORDED = 1_000_000, 200_000

ADD = """
    const {timeline, model} = rrdbg, [bare, worded] = arguments;
    const gap = (count, mark) => model.end / count * (0.5 + (mark * 7919 % 1000) / 1000);
    const at = (count) => Array.from({length: count}, (_, mark) => mark ? gap(count, mark) : 0);
    const begun = performance.now();
    timeline.update({name: "many bare", one: "bare", kind: "rate", note: "", at: at(bare)});
    const words = Array.from({length: worded}, (_, mark) => `request ${mark} is complete`);
    timeline.update({name: "many worded", one: "worded", kind: "marks", note: "", at: at(worded), text: words});
    return performance.now() - begun;
"""

PAINT = """
    const {timeline} = rrdbg, {view} = timeline, {prototype} = CanvasRenderingContext2D, strokes = [];
    const names = ["fillRect", "fillText", "arc"], known = names.map((name) => prototype[name]);
    let count = 0;
    names.forEach((name, index) => {
      prototype[name] = function (...words) { count++; return known[index].apply(this, words); };
    });
    try {
      for (let step = 0; step < 60; step++) {
        // In to a ten thousandth of the run, and along it.
        if (step < 30) view.zoom(1.36, view.whole * 0.7); else view.pan(0.3);
        count = 0;
        timeline.paint();
        strokes.push(count);
      }
    } finally {
      names.forEach((name, index) => { prototype[name] = known[index]; });
      view.show(0, view.whole);
      timeline.refresh();
    }
    const width = timeline.rows[1].canvas.clientWidth;
    return [strokes, width, timeline.rows.length];
"""

REMOVE = """
    for (const name of ["many bare", "many worded"]) rrdbg.timeline.update({name, kind: "marks", note: "", at: []});
"""


@pytest.fixture
def crowded(page: Page) -> Any:
    page.browser.execute_script(ADD, BARE, WORDED)
    yield page
    page.browser.execute_script(REMOVE)


def test_a_picture_has_no_more_strokes_than_pixels(crowded: Page) -> None:
    """How long that takes is measured by scripts/web_speed.py."""
    strokes, width, rows = crowded.browser.execute_script(PAINT)
    # A mark has two strokes at most, its stretch and itself, and a text stands where there is room for one.
    assert width < max(strokes) <= 2.2 * width * rows
    assert max(strokes) < (BARE + WORDED) / 20


def test_all_of_them_are_counted_and_found(crowded: Page) -> None:
    count = "const track = rrdbg.timeline.rows.find((row) => row.name === arguments[0]).track;"
    whole = f"{count} return [track.count, track.countBetween(0, 1e18)]"
    assert crowded.browser.execute_script(whole, "many bare") == [BARE, BARE]
    parts = f"{count} let sum = 0; for (let part = 0; part < 997; part++) "
    parts += "sum += track.countBetween(part * 1e4, (part + 1) * 1e4); return sum + track.countBetween(997e4, 1e18)"
    assert crowded.browser.execute_script(parts, "many bare") == BARE
    nearest = f"{count} const mark = track.nearest(track.at[123456] + 0.1, 5); return track.text(mark)"
    assert crowded.browser.execute_script(nearest, "many worded") == "request 123456 is complete"
