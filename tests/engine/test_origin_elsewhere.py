"""Values followed back on arm (T32 code), aarch64 and riscv64, each hop held against the forward run."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.engine.queries.origin import origin
from rrdbg.engine.replay import Replay
from rrdbg.model.program.moves import COMPUTED, CONSTANT, Hop, MemoryPlace, Place
from rrdbg.model.timeline.position import Position
from tests.conftest import GUEST_DIR, failing_clearly
from tests.engine.test_origin import check, oracle_of
from tests.guests.build import symbol
from tests.guests.foreign import SOURCES, ForeignGuest, build_foreign

_FACTOR = {4: 0x4C957F2D, 8: 0x5851F42D4C957F2D}


@dataclass(frozen=True)
class Guest:
    """A guest, its recording, and how long its words are."""

    about: ForeignGuest
    root: Path
    word: int
    slot: int
    """How far from the top of the stack the value is that goes over it."""

    def place(self, name: str, offset: int = 0, size: int = 0) -> MemoryPlace:
        return MemoryPlace(symbol(self.about.elf, name).address + offset, size or self.word)


@pytest.fixture(scope="module", params=["aarch64", "arm", "riscv64"])
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Guest:
    """The recording of an architecture's program; not to be changed."""
    with failing_clearly(request.param):
        about = build_foreign(request.param, GUEST_DIR, SOURCES / "copies")
    root = tmp_path_factory.mktemp("recordings") / request.param
    asyncio.run(Recorder(RecordRequest(about.command, root)).run())
    return Guest(about, root, *((4, 8) if request.param == "arm" else (8, 16)))


async def followed(root: Path, *places: tuple[Place, int]) -> list[list[Hop]]:
    """The hops of each place, at most so many."""
    found = []
    async with await Replay.open(root) as replay:
        for place, depth in places:
            await replay.seek(replay.timeline.end)
            found.append([hop async for hop in origin(replay, place, depth)])
    return found


async def test_values_are_followed_to_where_they_are_made(guest: Guest, tmp_path: Path) -> None:
    copy = shutil.copytree(guest.root, tmp_path / "copy")
    hops, bytewise, constant = await followed(
        copy,
        (guest.place("sink"), 16),
        (guest.place("letters"), 1),
        (guest.place("limit"), 2),
    )
    # Where it goes: sink, the stack, and the two blocks, with registers in between.
    memory = [hop.place for hop in hops if isinstance(hop.place, MemoryPlace)]
    stack = MemoryPlace(symbol(guest.about.elf, "packet").address - 0x40 + 0x1000 - guest.slot, guest.word)
    assert memory == [guest.place("sink"), stack, guest.place("copied", 8), guest.place("packet", 8)]
    assert [hop.end for hop in hops] == [""] * (len(hops) - 1) + [COMPUTED]
    assert [before.place for before in hops[1:]] == [hop.source for hop in hops[:-1]]
    expected = (50 * _FACTOR[guest.word] + 1) % (1 << 8 * guest.word)
    assert {hop.value for hop in hops} == {expected.to_bytes(guest.word, "little")}
    make = symbol(guest.about.elf, "make").address & ~1
    assert 0 <= hops[-1].pc - make < 64
    assert hops[-1].registers, "the registers from which it is computed"
    # A loop copies bytes: the last one is followed.
    assert bytewise[0].source
    assert bytewise[0].source.size == 1
    assert constant[-1].end == CONSTANT
    end = Position(hops[0].position.icount + 1)
    check(await oracle_of(copy, hops, end), hops, end)
