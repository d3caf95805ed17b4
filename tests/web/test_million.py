"""A million events in the page: painting them takes a frame's time, however far one has zoomed, and all are there."""

from __future__ import annotations

import statistics
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
    const done = arguments[0], {timeline} = rrdbg, {view} = timeline, spent = [], frames = [];
    let step = 0, last = 0;
    function next(now) {
      if (last) frames.push(now - last);
      last = now;
      if (step === 60) { view.show(0, view.whole); timeline.refresh(); done({spent, frames}); return; }
      // In to a ten thousandth of the run, and along it.
      if (step < 30) view.zoom(1.36, view.whole * 0.7); else view.pan(0.3);
      step++;
      const begun = performance.now();
      timeline.paint();
      spent.push(performance.now() - begun);
      requestAnimationFrame(next);
    }
    requestAnimationFrame(next);
"""

REMOVE = """
    for (const name of ["many bare", "many worded"]) rrdbg.timeline.update({name, kind: "marks", note: "", at: []});
"""


@pytest.fixture
def crowded(page: Page) -> Any:
    page.browser.execute_script(ADD, BARE, WORDED)
    yield page
    page.browser.execute_script(REMOVE)


def test_a_million_events_are_painted_in_a_frames_time(crowded: Page) -> None:
    told = crowded.browser.execute_async_script(PAINT)
    spent = sorted(told["spent"])
    print(f"painting: median {statistics.median(spent):.1f} ms, slowest {spent[-1]:.1f} ms; "
          f"frames: median {statistics.median(told['frames']):.1f} ms")  # fmt: skip
    # 60 frames a second have 16.7 ms; where other tests run beside this one it is not to be called a regression.
    assert statistics.median(spent) < 50


def test_all_of_them_are_counted_and_found(crowded: Page) -> None:
    count = "const track = rrdbg.timeline.rows.find((row) => row.name === arguments[0]).track;"
    whole = f"{count} return [track.count, track.countBetween(0, 1e18)]"
    assert crowded.browser.execute_script(whole, "many bare") == [BARE, BARE]
    parts = f"{count} let sum = 0; for (let part = 0; part < 997; part++) "
    parts += "sum += track.countBetween(part * 1e4, (part + 1) * 1e4); return sum + track.countBetween(997e4, 1e18)"
    assert crowded.browser.execute_script(parts, "many bare") == BARE
    nearest = f"{count} const mark = track.nearest(track.at[123456] + 0.1, 5); return track.text(mark)"
    assert crowded.browser.execute_script(nearest, "many worded") == "request 123456 is complete"
