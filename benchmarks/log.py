"""How fast a replay log is read: ``python -m benchmarks.log RECORDING``.

Figures are events of the log per second of processor time, best of five, for what opening a recording needs (length,
deliveries, shutdowns), for the counts that ``events`` shows, for the console, for the guest's clock, and for decoding
every event to an object.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from rrdbg.model.timeline.events import EventKind
from rrdbg.store.clock import read_clock
from rrdbg.store.history import Console, counts, history
from rrdbg.store.logevents import events
from rrdbg.store.recording import Recording
from rrdbg.store.replaylog import summarise

RUNS = 5


def main() -> int:
    """Measure and print."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    recording = Recording.peek(Path(sys.argv[1]))
    layout = recording.layout
    total = sum(1 for _ in events(layout.log))
    print(f"{total:,} events in {layout.log.stat().st_size / 1e6:.1f} MB")
    works: dict[str, Callable[[], object]] = {
        "summarise": lambda: summarise(layout.log),
        "events of one kind": lambda: list(history(layout.log, {EventKind.PACKET})),
        "counts": lambda: counts(layout.log),
        "console": lambda: Console.read(layout.log, layout.console),
        "clock": lambda: read_clock(layout.log, recording.manifest.invocation),
        "every event decoded": lambda: sum(1 for _ in events(layout.log)),
    }
    for name, work in works.items():
        seconds = min(_seconds(work) for _ in range(RUNS))
        print(f"{name:<20} {seconds:7.3f} s  {total / seconds / 1e6:6.1f} M events/s")
    return 0


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())
