"""Values followed back through copies, each hop held against the forward run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.queries import origin as origin_module
from rrdbg.engine.queries.origin import DEPTH, origin
from rrdbg.engine.replay import Replay
from rrdbg.model.program.moves import COMPUTED, CONSTANT, INPUT, NOT_WRITTEN, Hop, MemoryPlace, Place, RegisterPlace
from rrdbg.model.timeline.position import Position
from tests.conftest import GUEST_DIR, failing_clearly, record
from tests.engine.conftest import Run
from tests.guests.build import build, symbol
from tests.oracle import Oracle, observe


@pytest.fixture(scope="module")
def guest() -> Path:
    with failing_clearly("copies"):
        return build("copies", GUEST_DIR)


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory, guest: Path) -> Path:
    return record(guest, tmp_path_factory.mktemp("recordings") / "copies")


def variable(guest: Path, name: str, offset: int = 0, size: int = 8) -> MemoryPlace:
    return MemoryPlace(symbol(guest, name).address + offset, size)


async def followed(root: Path, *places: Place, at: Position | None = None, depth: int = DEPTH) -> list[list[Hop]]:
    """The hops of each of ``places``."""
    found = []
    async with await Replay.open(root) as replay:
        for place in places:
            await replay.seek(at or replay.timeline.end)
            found.append([hop async for hop in origin(replay, place, depth)])
    return found


def content(oracle: Oracle, index: int, place: Place) -> bytes:
    if isinstance(place, MemoryPlace):
        return oracle[index].memory[place.address][: place.size]
    whole = oracle.registers(index)[place.name].to_bytes(8, "little")
    return whole[place.offset : place.offset + place.size]


def check(oracle: Oracle, hops: Sequence[Hop], used: Position) -> None:
    """Each hop's instruction brings the value from its source to its place, where it then stays until it is used."""
    for hop in hops:
        index, last = oracle.index(hop.position), oracle.index(used)
        assert content(oracle, index + 1, hop.place) == hop.value
        assert all(content(oracle, i, hop.place) == hop.value for i in range(index + 1, last + 1))
        if hop.source:
            assert content(oracle, index, hop.source) in hop.value
        used = hop.position


async def oracle_of(root: Path, hops: Sequence[Hop], end: Position) -> Oracle:
    """The forward run over all of ``hops``, with the memory that they touch."""
    places = {place for hop in hops for place in (hop.place, hop.source) if isinstance(place, MemoryPlace)}
    start = hops[-1].position.icount
    return await observe(root, start, end.icount - start + 5, {place.address: place.size for place in places})


def test_a_long_way_is_followed_to_where_the_value_was_computed(run: Run[Any], copies: Path, guest: Path) -> None:
    hops: list[Hop]
    hops, short = run(followed(copies, variable(guest, "sink"))) + run(
        followed(copies, variable(guest, "sink"), depth=3)
    )
    assert short == hops[:3]
    memory = [hop.place for hop in hops if isinstance(hop.place, MemoryPlace)]
    sink, slot, copied, packet = memory
    assert [sink, copied, packet] == [
        variable(guest, "sink"),
        variable(guest, "copied", 16),
        variable(guest, "packet", 16),
    ]
    assert slot.address % 8 == 0, "the stack"
    assert [hop.end for hop in hops] == [""] * (len(hops) - 1) + [COMPUTED]
    assert [before.place for before in hops[1:]] == [hop.source for hop in hops[:-1]]
    last = hops[-1]
    make = symbol(guest, "make")
    assert make.address <= last.pc < make.address + make.size
    expected = (50 * 6364136223846793005 + 1) % 2**64
    assert {hop.value for hop in hops} == {expected.to_bytes(8, "little")}
    end = Position(hops[0].position.icount + 1)
    check(run(oracle_of(copies, hops, end)), hops, end)


def test_letters_one_by_one(run: Run[Any], copies: Path, guest: Path) -> None:
    """A loop copies bytes: the last one is followed, and said to be a part."""
    hops: list[Hop]
    (hops,) = run(followed(copies, variable(guest, "letters")))
    assert hops[0].source
    assert hops[0].source.size == 1
    assert MemoryPlace(variable(guest, "sink").address + 7, 1) in [hop.place for hop in hops]
    assert hops[-1].end == COMPUTED


def test_what_is_no_copy_ends_the_way(run: Run[Any], copies: Path, guest: Path) -> None:
    places = [variable(guest, "limit"), variable(guest, "received"), variable(guest, "copied", 24)]
    (constant,), (*_, port), (nothing,) = run(followed(copies, *places))
    assert (constant.end, constant.value) == (CONSTANT, (40).to_bytes(8, "little"))
    assert constant.instruction.startswith("movq $0x28")
    assert (port.end, port.instruction) == (INPUT, "inb %dx, %al")
    assert port.registers["rdx"] == 0x3FD
    assert "since the start" in nothing.end


@pytest.mark.matrix
def test_what_an_interrupt_pushes(run: Run[Any], workload: Path, busy: Oracle) -> None:
    index = next(i for i in range(len(busy)) if busy[i].position.phase == 1)
    slot = MemoryPlace(busy.registers(index)["rsp"], 8)
    for (hop,) in run(followed(workload, slot, RegisterPlace("rsp", 8), at=busy[index].position)):
        assert (hop.end, hop.position) == (NOT_WRITTEN, busy[index - 1].position)


def test_a_register_that_was_set_long_ago(run: Run[Any], copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for further and further back, and at last that is given up."""
    monkeypatch.setattr(origin_module, "LONGEST", 512)
    ((hop,),) = run(followed(copies, RegisterPlace("cs", 2)))
    assert "not looked for further back" in hop.end
    oracle: Oracle = run(observe(copies, 5_605_000, 800))
    last = len(oracle) - 1
    changes = {
        name: max((i for i, (a, b) in enumerate(itertools.pairwise(range(last + 1))) if
                   oracle.registers(a)[name] != oracle.registers(b)[name]), default=-1)
        for name in ("rax", "rbx", "rcx", "rbp", "rsp")
    }  # fmt: skip
    name = min((name for name in changes if last - changes[name] < 500), key=lambda name: changes[name])
    (found,) = run(followed(copies, RegisterPlace(name, 8), at=oracle[last].position, depth=1))
    assert found[0].position >= oracle[changes[name]].position, "a copy of the same value may come after the change"
    assert content(oracle, oracle.index(found[0].position) + 1, found[0].place) == found[0].value
