from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.comparison import changes
from benchmarks.limits import Limits
from benchmarks.outcome import Clock, check
from benchmarks.places import Condition, Place
from benchmarks.report import page
from benchmarks.results import Cell, GuestResults, Results
from benchmarks.rival import Wrong
from rrdbg.model.program.agent import Evaluation, Expression, NeedMemory

ROOT = Path(__file__).parents[2]


@pytest.mark.matrix
async def test_one_measure_on_the_small_guest_tells_that_qemu_misses_the_hit(tmp_path: Path) -> None:
    written, shown = tmp_path / "results.json", tmp_path / "page.md"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks", "--guest", "bare-metal", "--rival", "rrdbg", "--rival", "native",
        "--measure", "adjacent-hit", "--runs", "1", "--folder", str(tmp_path / "bench"),
        "--json", str(written), "--page", str(shown), cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    guest = Results.read(written).guests["bare-metal"]
    row = guest.cells["adjacent-hit"]
    assert row["rrdbg"].seconds > 0
    assert row["rrdbg"].verdict == ""
    assert row["native"].verdict == "wrong: missed the hit"
    assert guest.memory["rrdbg"] > 10 << 20
    assert guest.limits.replay > 0
    line = next(line for line in shown.read_text().splitlines() if line.startswith("| reverse-continue to the instr"))
    assert line.endswith("| wrong: missed the hit |  |")
    assert not list((tmp_path / "bench").glob("*/rrdbg-bench-*"))


def results(seconds: float, replay: float, verdict: str = "") -> Results:
    cell = Cell(seconds, seconds, seconds, 1.0, verdict)
    limits, bytes_taken = Limits(replay, 0.1, 0.1, {"far-hit": replay / 2}), {"rrdbg": 1}
    guest = GuestResults(1000, 100, 2, 1.0, limits, {"jumps": {"rrdbg": cell}}, bytes_taken, bytes_taken)
    return Results("7.2", 1, {"linux": guest})


def test_slower_is_what_takes_longer_than_the_machine_explains() -> None:
    assert [change.factor for change in changes(results(1.0, 5.0), results(2.0, 5.0))] == [2.0]
    assert [change.factor for change in changes(results(1.0, 5.0), results(2.0, 10.0))] == [1.0]
    (change,) = changes(results(1.0, 5.0), results(0.0, 5.0, "wrong: missed the hit"))
    assert change.verdict == "wrong: missed the hit"


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    made = results(1.0, 5.0)
    made.write(tmp_path / "results.json")
    assert Results.read(tmp_path / "results.json") == made


def test_a_page_says_what_was_not_measured_to_the_end() -> None:
    made = results(1.0, 5.0)
    partial = replace(made.guests["linux"].cells["jumps"]["rrdbg"], seconds=4000.0, share=0.01)
    made.guests["linux"].cells["condition"] = {"rrdbg": partial}
    assert "| a condition false 10,000 times | ≈ 67 min |" in page(made, "results.json", 20.0)


def test_a_page_compares_a_search_with_a_plain_replay() -> None:
    made = results(1.0, 5.0)
    made.guests["linux"].cells["far-hit"] = {"rrdbg": Cell(3.0, 3.0, 3.0, 1.0)}
    assert "| reverse-continue to a far hit | 3.0 s | 2.5 s; rrdbg 1.2x |" in page(made, "results.json", 20.0)


def test_a_clock_counts_movements_that_were_made() -> None:
    clock = Clock(budget=0.0, count=4)
    with clock.running():
        pass
    assert clock.spent
    assert clock.outcome().done == 0.25
    assert clock.outcome("deadlocks").verdict == "deadlocks"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Place(99, 7), "missed the hit"),
        (Place(101, 7), "stopped too early"),
        (Place(100, 8), "right count, wrong instruction"),
    ],
)
def test_a_place_is_checked_against_the_right_one(found: Place, said: str) -> None:
    check(Place(100, 7), Place(100, 7))
    with pytest.raises(Wrong, match=said):
        check(found, Place(100, 7))


@pytest.mark.parametrize("least", [False, True])
@pytest.mark.parametrize("value", [0, 41, 42, 43, 1 << 31])
def test_a_condition_and_its_bytecode_are_the_same(value: int, least: bool) -> None:
    condition = Condition(0x1000, 4, 42, least)
    data = value.to_bytes(4, "little")
    assert _run(Expression(condition.bytecode).evaluate("little"), data) == condition.holds(data)


def _run(evaluation: Evaluation, data: bytes) -> int:
    try:
        assert next(evaluation) == NeedMemory(0x1000, 4)
        evaluation.send(data)
    except StopIteration as result:
        return int(result.value)
    raise AssertionError("one read is enough")
