"""Measure the page of `rrdbg web`: `scripts/web_speed.py RECORDING`; run it where nothing else runs.

RECORDING is one of heapbug (tests/guests/heapbug), that ends with its panic. Printed are how long the place takes to be
shown after a step back, and how long painting takes with a million events on the timeline, and each frame.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence

from web_pictures import Visitor, visiting

STEPS = 60
BARE, WORDED = 1_000_000, 200_000
FLAME = 5_000

STEP = """
    const done = arguments[0], node = document.getElementById("position"), begun = performance.now();
    new MutationObserver((_, observer) => {
      observer.disconnect();
      requestAnimationFrame(() => done(performance.now() - begun));
    }).observe(node, {attributes: true, attributeFilter: ["data-at"]});
    document.querySelector('[data-line="reverse-stepi"]').click();
"""

CROWD = """
    const [bare, worded, flame] = arguments, {timeline, model} = rrdbg;
    const gap = (count, mark) => model.end / count * (0.5 + (mark * 7919 % 1000) / 1000);
    const at = (count) => Array.from({length: count}, (_, mark) => mark ? gap(count, mark) : 0);
    timeline.update({name: "many bare", one: "bare", kind: "rate", note: "", at: at(bare)});
    const words = Array.from({length: worded}, (_, mark) => `request ${mark} is complete`);
    timeline.update({name: "many worded", one: "worded", kind: "marks", note: "", at: at(worded), text: words});
    // A flame chart whose calls are another one in each sample, eight deep.
    const every = model.end / flame, slices = Array.from({length: flame * 8}, (_, slice) => slice);
    timeline.update({
      name: "calls", one: "call", kind: "flame", note: "", every, samples: at(flame),
      at: slices.map((slice) => slice && slice % 8 === 0 ? every : 0), span: slices.map(() => every),
      depth: slices.map((slice) => slice % 8), text: slices.map((slice) => `function_${slice % 97}`),
    });
"""

PAINT = """
    const done = arguments[0], {timeline} = rrdbg, {view} = timeline, spent = [], frames = [];
    let step = 0, last = 0;
    function next(now) {
      if (last) frames.push(now - last);
      last = now;
      if (step === 60) { view.show(0, view.whole); timeline.refresh(); done([spent, frames]); return; }
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


def told(what: str, spent: Sequence[float]) -> None:
    """Print a line about milliseconds."""
    print(f"{what}: median {statistics.median(spent):.1f} ms, slowest {max(spent):.1f} ms of {len(spent)}")


def measure(visitor: Visitor) -> None:
    """Step back, and paint."""
    visitor.idle()
    visitor.type("end")
    spent = []
    for _ in range(STEPS):
        spent.append(float(visitor.browser.execute_async_script(STEP)))
        visitor.idle()
    told("from the click on rsi to the new place", spent)
    visitor.browser.execute_script(CROWD, BARE, WORDED, FLAME)
    painted, frames = visitor.browser.execute_async_script(PAINT)
    told(f"painting with {BARE:,} and {WORDED:,} events and {FLAME:,} stacks", painted)
    told("a frame meanwhile", frames)


def main() -> None:
    """Serve, measure, end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording")
    with visiting(parser.parse_args().recording) as visitor:
        measure(visitor)


if __name__ == "__main__":
    main()
