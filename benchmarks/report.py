"""The page docs/reference/benchmarks.md, made from results."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.comparison import OURS
from benchmarks.measures import MEASURES
from benchmarks.results import Cell, GuestResults, Results

_HEAD = """\
# Benchmarks

Made by `make bench` (`python -m benchmarks`) from {file}; do not edit.

On {machine}{busy}, with QEMU {qemu}; {runs}, in which the rivals took turns. *native* is QEMU's gdbstub
(`bs`, `bc`) and its `replay-seek`, with the snapshot of the start alone, or with snapshots at rrdbg's places in one
image, as `savevm` makes them during a replay; *record full* is GDB's own recorder on QEMU's stub. The guests are
recorded by rrdbg, without the devices that make QEMU's own way deadlock
([more of that](../explanation/why-not-native.md)).

Each answer is compared with what a forward run shows. *wrong* was not what it shows, *deadlocks* means that QEMU's
monitor gave no answer any more, *cannot* that there is no way to ask. A figure with ≈ is worked out from a part of the
movements that took {budget:.0f} seconds. In brackets: how many times as long as rrdbg. *plain replay* is one
without a stop of the stretch that a search must look at, and how many times as long rrdbg took.
"""

_BUSY = 0.5
"""From so many on the seconds say less than their ratios do, and the page says so."""


def page(results: Results, file: str, budget: float) -> str:
    """The whole page."""
    head = _HEAD.format(
        busy=f", {results.load:.1f} of them busy with other work" if results.load >= _BUSY else "",
        file=f"`{file}`",
        machine=results.machine,
        qemu=results.qemu.partition(" ")[0],
        runs=f"medians of {results.runs} runs" if results.runs > 1 else "one run",
        budget=budget,
    )
    return head + "".join(f"\n{part}" for name, guest in results.guests.items() for part in _guest(name, guest))


def _guest(name: str, guest: GuestResults) -> Iterator[str]:
    limits = guest.limits
    yield (
        f"## {name}\n\n{guest.instructions:,} instructions, a log of {guest.log_bytes / 1e6:.1f} MB. Limits: a plain "
        f"replay from start to end takes {_seconds(limits.replay)} "
        f"({guest.instructions / limits.replay / 1e6:,.0f} M instructions/s), QEMU starts on the first snapshot in "
        f"{_seconds(limits.start)} and on the last in {_seconds(limits.load)}. `rrdbg index` made "
        f"{guest.snapshots} snapshots and proved them in {_seconds(guest.index_seconds)}.\n"
    )
    rivals = sorted(guest.memory, key=lambda rival: rival != OURS)
    lines = [f"| | {' | '.join(rivals)} | plain replay |", "|---" * (len(rivals) + 2) + "|"]
    for measure in MEASURES:
        if row := guest.cells.get(measure.name):
            cells = [_cell(row[rival], row.get(OURS), each=measure.each) for rival in rivals]
            cells.append(_limit(limits.stretches.get(measure.name), row.get(OURS)))
            lines.append(f"| {measure.title} | {' | '.join(cells)} |")
    lines.append(f"| memory, all processes | {' | '.join(_bytes(guest.memory[rival]) for rival in rivals)} | |")
    lines.append(f"| snapshots on disk | {' | '.join(_bytes(guest.disk[rival]) for rival in rivals)} | |")
    yield "\n".join(lines) + "\n"
    if guest.defaults:
        ends = ", ".join(f"{count} {how}" for how, count in sorted(guest.defaults.items()))
        yield (
            "The same program recorded by QEMU alone, with its default devices: of "
            f"{sum(guest.defaults.values())} `bc` {ends}.\n"
        )


def _limit(seconds: float | None, ours: Cell | None) -> str:
    if not seconds:
        return ""
    factor = f"; rrdbg {_factor(ours.seconds / seconds)}" if ours and ours.seconds else ""
    return f"{_seconds(seconds)}{factor}"


def _cell(cell: Cell, ours: Cell | None, *, each: bool) -> str:
    if cell.verdict and not cell.seconds:
        return cell.verdict
    partly = cell.share < 1 and not each
    text = ("≈ " if partly else "") + _seconds(cell.seconds)
    if ours is cell and each:
        text += f", p95 {_seconds(cell.p95)}"
    elif ours and ours is not cell and ours.seconds:
        text += f" ({_factor(cell.seconds / ours.seconds)})"
    return f"{text}; {cell.verdict}" if cell.verdict else text


def _factor(factor: float) -> str:
    return f"{factor:,.0f}x" if factor >= 10 else f"{factor:.1f}x" if factor >= 0.1 else f"{factor:.2f}x"


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"
    if seconds < 600:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _bytes(size: int) -> str:
    return "-" if not size else f"{size / 1e6:,.0f} MB"
