"""Values followed back on arm (T32 code), aarch64 and riscv64, each hop held against the forward run."""

from __future__ import annotations

import shutil
from pathlib import Path

from rrdbg.engine.queries.origin import origin
from rrdbg.engine.replay import Replay
from rrdbg.model.program.moves import COMPUTED, CONSTANT, Hop, MemoryPlace, Place
from rrdbg.model.timeline.position import Position
from tests.engine.conftest import Elsewhere
from tests.engine.test_origin import check, oracle_of
from tests.guests.build import symbol

_FACTOR = {4: 0x4C957F2D, 8: 0x5851F42D4C957F2D}


async def followed(root: Path, *places: tuple[Place, int]) -> list[list[Hop]]:
    """The hops of each place, at most so many."""
    found = []
    async with await Replay.open(root) as replay:
        for place, depth in places:
            await replay.seek(replay.timeline.end)
            found.append([hop async for hop in origin(replay, place, depth)])
    return found


async def test_values_are_followed_to_where_they_are_made(elsewhere: Elsewhere, tmp_path: Path) -> None:
    copy = shutil.copytree(elsewhere.root, tmp_path / "copy")
    hops, bytewise, constant = await followed(
        copy,
        (elsewhere.place("sink"), 16),
        (elsewhere.place("letters"), 1),
        (elsewhere.place("limit"), 2),
    )
    # Where it goes: sink, the stack, and the two blocks, with registers in between.
    memory = [hop.place for hop in hops if isinstance(hop.place, MemoryPlace)]
    stack = MemoryPlace(symbol(elsewhere.about.elf, "packet").address - 0x40 + 0x1000 - elsewhere.slot, elsewhere.word)
    assert memory == [elsewhere.place("sink"), stack, elsewhere.place("copied", 8), elsewhere.place("packet", 8)]
    assert [hop.end for hop in hops] == [""] * (len(hops) - 1) + [COMPUTED]
    assert [before.place for before in hops[1:]] == [hop.source for hop in hops[:-1]]
    expected = (50 * _FACTOR[elsewhere.word] + 1) % (1 << 8 * elsewhere.word)
    assert {hop.value for hop in hops} == {expected.to_bytes(elsewhere.word, "little")}
    make = symbol(elsewhere.about.elf, "make").address & ~1
    assert 0 <= hops[-1].pc - make < 64
    assert hops[-1].registers, "the registers from which it is computed"
    # A loop copies bytes: the last one is followed.
    assert bytewise[0].source
    assert bytewise[0].source.size == 1
    assert constant[-1].end == CONSTANT
    end = Position(hops[0].position.icount + 1)
    check(await oracle_of(copy, hops, end), hops, end)
