"""Measure rrdbg beside QEMU's own reverse execution and GDB's recorder: ``python -m benchmarks``, ``make bench``.

Recordings are made in build/bench and used again. The figures go to benchmarks/results and to
docs/reference/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.comparison import changes
from benchmarks.defaults import try_defaults
from benchmarks.guests import GUESTS, Guest, indexed
from benchmarks.limits import find_limits
from benchmarks.measures import MEASURES, Course, Measure
from benchmarks.native import Native
from benchmarks.ours import Ours
from benchmarks.outcome import Outcome
from benchmarks.places import find_places
from benchmarks.processes import busy_processors
from benchmarks.recorder import Recorder
from benchmarks.report import page
from benchmarks.results import Cell, GuestResults, Results
from benchmarks.rival import Rival
from benchmarks.runner import BUDGET_SECONDS, Result, run
from rrdbg.errors import RrdbgError
from rrdbg.links.process import find_qemu, qemu_version
from rrdbg.store.recording import Recording
from tests.guests.build import GuestError

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results" / "latest.json"
RIVALS = ("record", "rrdbg", "native", "snapshots")


async def main() -> int:
    """Measure, print, keep and compare."""
    arguments = _arguments()
    measures = [measure for measure in MEASURES if not arguments.measure or measure.name in arguments.measure]
    load = await busy_processors()
    version = await qemu_version(find_qemu("qemu-system-x86_64"))
    folder = arguments.folder / version.split()[0]
    results = Results(version, arguments.runs, {}, load=round(load, 1))
    for name in arguments.guest or GUESTS:
        results.guests[name] = await _measure(await GUESTS[name](folder), measures, arguments)
        _keep(results, arguments)
    return _compare(Results.read(arguments.compare), results, arguments.threshold) if arguments.compare else 0


def _keep(results: Results, arguments: argparse.Namespace) -> None:
    """Write down what there is so far: a whole run takes long, and may be left."""
    results.write(arguments.json)
    if arguments.page:
        file = arguments.json.absolute()
        shown = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
        arguments.page.write_text(page(results, str(shown), arguments.budget))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--guest", action="append", choices=GUESTS, help="only this guest (may be repeated)")
    parser.add_argument(
        "--measure", action="append", choices=[measure.name for measure in MEASURES], help="only this (may be repeated)"
    )
    parser.add_argument("--rival", action="append", choices=RIVALS, help="only this rival (may be repeated)")
    parser.add_argument("--runs", type=int, default=3, help="how often each rival runs (default: 3)")
    parser.add_argument(
        "--budget", type=float, metavar="SECONDS", default=BUDGET_SECONDS, help="when to cut a measure short"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="where the recordings are")
    parser.add_argument("--json", type=Path, metavar="FILE", default=ROOT / "build" / "bench" / "last.json")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the table, as Markdown")
    parser.add_argument(
        "--compare", type=Path, metavar="OLD.json", help="tell what became slower; the status is then 1"
    )
    parser.add_argument("--threshold", type=float, metavar="PERCENT", default=25.0, help="from when on (default: 25)")
    return parser.parse_args()


async def _measure(guest: Guest, measures: Sequence[Measure], arguments: argparse.Namespace) -> GuestResults:
    print(f"{guest.name}: snapshots, and the right answers", flush=True)
    made = await indexed(guest)
    places = await find_places(guest, rarely=any(measure.name == "condition" for measure in measures))
    with Recording.open(guest.recording) as recording:
        deliveries, log_bytes = recording.log.deliveries, recording.layout.log.stat().st_size
    limits = await find_limits(guest, places)
    results = GuestResults(places.end, log_bytes, made.snapshots, round(made.seconds, 2), limits)
    course = Course(guest, places, deliveries, {})
    runs: dict[str, list[Result]] = {}
    for number in range(arguments.runs):
        print(f"{guest.name}: run {number + 1} of {arguments.runs}", flush=True)
        for name in RIVALS:
            if not arguments.rival or name in arguments.rival:
                rival = _rival(name, course)
                runs.setdefault(rival.name, []).append(await run(rival, measures, course, _tell, arguments.budget))
    results.add(measures, runs)
    if len(measures) == len(MEASURES) and not arguments.rival:
        results.defaults.update(await try_defaults(guest))
    return results


def _rival(name: str, course: Course) -> Rival:
    match name:
        case "record":
            return Recorder(course.guest, course.places.quiet)
        case "rrdbg":
            return Ours(course.guest)
    return Native(course.guest, snapshots=name == "snapshots")


def _tell(rival: str, measure: Measure, outcome: Outcome) -> None:
    cell = Cell.of(measure, [outcome])
    figure = f"{cell.seconds:9.4f} s, p95 {cell.p95:9.4f} s" if cell.seconds else " " * 28
    part = f" {outcome.done:.1%} done" if outcome.done < 1 else ""
    print(f"  {rival:<22} {measure.title:<45} {figure}{part} {outcome.verdict}", flush=True)


def _compare(old: Results, new: Results, threshold: float) -> int:
    slower = 0
    for change in changes(old, new):
        worse = change.factor > 1 + threshold / 100 or change.verdict
        slower += bool(worse)
        print(
            f"{'slower' if worse else 'ok':<7} {change.guest:<12} {change.measure:<14} {change.factor:6.2f} times "
            f"the time it took {change.verdict}"
        )
    return 1 if slower else 0


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except (RrdbgError, GuestError) as error:
        sys.exit(f"Cannot measure: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
