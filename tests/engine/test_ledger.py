"""What QEMU's plugin tells with exact positions is what single steps show, and what stops tell."""

from __future__ import annotations

import random
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.queries import calls as queries
from rrdbg.engine.queries.call_ledger import CallLedger
from rrdbg.engine.queries.calls import Call
from rrdbg.engine.queries.trace import _Tracer, trace
from rrdbg.engine.queries.writes import last_write, writes
from rrdbg.engine.replay import Replay
from rrdbg.engine.search import note_sieve, sieve, write_sieve
from rrdbg.engine.search.ledger import Ledger, Page
from rrdbg.engine.search.survey import Survey
from rrdbg.links.reading import Reading
from rrdbg.links.tally import CallReturn, Judging
from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.stop import Breakpoint, Hit, NotedHit, Watchpoint
from rrdbg.model.program.agent import Expression
from rrdbg.model.program.tracing import Format, Tracepoint
from rrdbg.model.timeline.position import Position
from tests.engine.conftest import Run
from tests.engine.test_sieve import GENERAL, can_judge, eager, number_of  # noqa: F401
from tests.guests.build import symbol
from tests.oracle import Oracle

FORM = Format.read("%lx %lx %s")


def register(oracle: Oracle, name: str) -> bytes:
    return b"\x26" + number_of(oracle, name).to_bytes(2, "big")


def tracepoints(oracle: Oracle, seed: int, text: int) -> dict[int, tuple[str, Tracepoint]]:
    """For each instruction a register, what it points to or may not, and a text that is there or not."""
    chosen = random.Random(seed)
    found = {}
    for address in sorted({entry.pc for entry in oracle.entries}):
        name, pointer = chosen.choice(GENERAL), chosen.choice(["rsp", "rax", "rdi", "rbx"])
        place = text if chosen.random() < 0.5 else 0xDEADBEEF0000
        codes = (
            Expression(register(oracle, name) + b"\x27"),
            Expression(register(oracle, pointer) + b"\x1a\x27"),
            Expression(b"\x25" + place.to_bytes(8, "big") + b"\x27"),
        )
        found[address] = name, Tracepoint(address, codes)
    return found


@pytest.mark.parametrize("name", ["busy", "exceptional", "idling"])
def test_reads_at_every_instruction_what_single_steps_show(
    request: pytest.FixtureRequest, run: Run[Any], replay: Replay, watched: dict[int, int], name: str
) -> None:
    """Positions with their phases, registers, and texts; what memory holds a machine says at one of each part."""
    oracle: Oracle = request.getfixturevalue(name)
    start, end = oracle[0].position, oracle[len(oracle) - 1].position
    points = tracepoints(oracle, 1, next(iter(watched)))
    breakpoints = [Breakpoint(-1 - number, address) for number, address in enumerate(points)]
    tracer = _Tracer([point for _, point in points.values()], FORM, conditional=False)

    async def check() -> None:
        made = write_sieve.sieve_for(replay.accelerator, replay.timeline, replay.start_at, breakpoints, tracer)
        assert isinstance(made, note_sieve.NoteSieve)
        if not await made.can_judge(oracle.layout):
            assert not can_judge(replay)
            return
        made.stops_of_a_window = 0
        scanned = []
        async with aclosing(made._windows(start, end, None)) as windows:
            told: list[Hit] = []
            async for window in windows:
                told += window.known
                scanned += [] if window.known else [(window.start, window.end)]
        assert not made._wrong
        expected = [
            i for i in oracle.hits(*points) if not any(low <= oracle[i].position < high for low, high in scanned)
        ]
        assert [(hit.position, hit.pc) for hit in told] == [(oracle[i].position, oracle[i].pc) for i in expected]
        for hit, index in zip(told, expected, strict=True):
            assert isinstance(hit, NotedHit)
            value = oracle.registers(index)[points[hit.pc][0]]
            assert str(hit.note).split(" ")[0] == f"{value:x}"
        assert len(told) > 0.9 * len(oracle.hits(*points))

    run(check())


@pytest.mark.usefixtures("eager")
def test_prints_what_stops_print(
    run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    start, end = busy[0].position, busy[len(busy) - 1].position
    points = [point for _, point in tracepoints(busy, 2, next(iter(watched))).values()][:12]

    async def printed(*, conditional: bool) -> list[tuple[int, str, int | None]]:
        form = Format.read("%lx %s") if conditional else FORM
        found = trace(replay, points, form, start, end, conditional=conditional)
        return [(position.icount, text, space) async for position, text, space in found]

    async def check() -> None:
        told = [await printed(conditional=False), await printed(conditional=True)]
        assert (await replay.accelerator.info()).usable
        monkeypatch.setattr(sieve, "FEW", 1 << 40)
        assert told == [await printed(conditional=False), await printed(conditional=True)]
        assert len(told[0]) > len(told[1]) > 0

    run(check())


def shown(call: Call) -> tuple[object, ...]:
    # At an icount that is not plain a free run cannot tell the phase.
    end = call.end and call.end.icount
    return call.position.icount, call.return_address, call.sp_after, call.arguments, call.returned, end, call.space


@pytest.mark.parametrize("short", [False, pytest.param(True, marks=pytest.mark.matrix)])
def test_calls_are_those_at_which_stops_are_made(
    run: Run[Any], replay: Replay, workload_guest: Path, busy: Oracle, monkeypatch: pytest.MonkeyPatch, short: bool
) -> None:
    """Also where the file has little room, so that more machines are needed."""
    entry = symbol(workload_guest, "twist").address
    start = busy[0].position
    end = Position(replay.timeline.deliveries.plain_after(start.icount + 60_000))
    arguments = [Expression(register(busy, name) + b"\x27") for name in ("rdi", "rsi")]
    points = [Tracepoint(entry, tuple(arguments))]
    forms = Format.read("%ld%ld").conversions
    if short:
        monkeypatch.setattr("rrdbg.links.tally._MOST_BYTES", 1 << 16)

    async def all_calls() -> list[tuple[object, ...]]:
        found = queries.calls(replay, entry, points, forms, start, end)
        return sorted([shown(call) async for call in found], key=str)

    believed: list[bool] = []
    hits = CallLedger._hits

    async def noted(self: CallLedger, page: Page) -> list[NotedHit] | None:
        found = await hits(self, page)
        believed.append(found is not None)
        return found

    monkeypatch.setattr(CallLedger, "_hits", noted)

    async def check() -> None:
        monkeypatch.setattr(queries, "FIRST_CALLS", 4)
        told = await all_calls()
        await replay.accelerator.info()
        assert sum(believed) > len(believed) / 2 or not can_judge(replay)
        monkeypatch.setattr(CallLedger, "of", _none)
        assert await all_calls() == told
        assert len(told) > 100

    run(check())


async def _none(*_: object) -> None:
    return None


def test_a_return_that_is_known_beforehand_is_seen_where_single_steps_see_it(
    run: Run[Any], replay: Replay, workload_guest: Path, busy: Oracle
) -> None:
    """Of a call that had begun before the machine that is to see it return."""
    entered = busy.hits(symbol(workload_guest, "twist").address)[0]
    sp = busy.registers(entered)["rsp"] + 8
    returned = next(i for i in range(entered, len(busy)) if busy.registers(i)["rsp"] == sp)
    address = busy[returned].pc
    start, end = busy[0].position, busy[len(busy) - 1].position
    readings = (Reading(Expression(register(busy, "rsp") + b"\x27")),)

    async def check() -> None:
        await replay.accelerator.info()
        if not can_judge(replay):
            return
        judging = await replay.accelerator.judging({}, busy.layout, {0: readings})
        assert judging
        ledger = Ledger(replay.accelerator, replay.timeline, [CallReturn(readings, address)], judging)
        found = []
        async for page in ledger.pages(start, end):
            assert page.sightings is not None
            assert page.survey
            found += [(page.survey.position(each), each.pc, each.values) for each in page.sightings]
        assert found == [(busy[i].position, address, (busy.registers(i)["rsp"],)) for i in busy.hits(address)]
        assert found

    run(check())


def test_counts_right_only_where_exceptions_are_known(run: Run[Any], replay: Replay, exceptional: Oracle) -> None:
    """Without the handlers of exceptions a plugin that is told of none counts too many, and that is noticed."""
    start, end = exceptional[0].position, exceptional[len(exceptional) - 1].position

    async def check() -> None:
        await replay.accelerator.info()
        if not can_judge(replay):
            return
        survey = await replay.accelerator.survey(
            replay.timeline, replay.timeline.landing_before(start), [], Judging(), handlers=frozenset()
        )
        assert isinstance(survey, Survey)
        try:
            await survey.arrive(start)
            assert survey.counts_right()
            await survey.arrive(end)
            assert survey.counts_right()
        finally:
            await survey.close()
        ledger = Ledger(replay.accelerator, replay.timeline, [], Judging())
        pages = [page async for page in ledger.pages(start, end)]
        assert pages[0].start == start
        assert pages[-1].end == end
        assert all(page.sightings is not None for page in pages)

    run(check())


@pytest.mark.usefixtures("eager")
def test_a_plugin_that_reads_wrong_is_not_believed(
    run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    hot = max((entry.pc for entry in busy.entries), key=lambda pc: len(busy.hits(pc)))
    start, end = busy[0].position, busy[len(busy) - 1].position
    point = Tracepoint(hot, (Expression(register(busy, "rsp") + b"\x27"),))
    monkeypatch.setattr(_Tracer, "noted", lambda self, point, values: "wrong")

    async def check() -> None:
        found = [each async for each in trace(replay, [point], Format.read("%lx"), start, end)]
        assert [(position.icount, text) for position, text, _ in found] == [
            (busy[i].position.icount, f"{busy.registers(i)['rsp']:x}") for i in busy.hits(hot)
        ]
        assert "it has told of a hit" in (await replay.accelerator.info()).text or not can_judge(replay)

    run(check())


@pytest.mark.parametrize("many", [1, pytest.param(1 << 40, marks=pytest.mark.matrix)])
def test_writes_under_a_condition_are_those_behind_which_it_holds(
    run: Run[Any], replay: Replay, busy: Oracle, watched: dict[int, int], monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """By the plugin, and by stops."""
    monkeypatch.setattr(sieve, "FEW", many)
    start, end = busy[0].position, busy[len(busy) - 1].position

    async def check() -> None:
        for address, length in watched.items():
            for wanted in (0, 1):
                code = b"\x25" + address.to_bytes(8, "big") + b"\x17\x22\x01\x0f\x22" + bytes([wanted]) + b"\x13\x27"
                condition = Condition((Expression(code),), unclear=False)
                point = Watchpoint(-1, address, length)
                expected = [i for i in busy.changes(address) if busy[i + 1].memory[address][0] & 1 == wanted]
                found = [hit async for hit in writes(replay, point, condition, start, end)]
                assert [hit.position for hit in found] == [busy[i + 1].position for i in expected]
                last = await last_write(replay, point, condition, end)
                if found:
                    assert last
                    assert last.position == found[-1].position
                else:
                    assert last is None or last.position < start

    run(check())
