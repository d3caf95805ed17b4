"""The ``compare`` command: another recording of the guest beside this one, and where the two part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rrdbg.commands.registry import Category, Registry, Takes
from rrdbg.commands.session import Session
from rrdbg.engine.interruption import interrupted_at
from rrdbg.engine.linux.guest import LinuxGuest
from rrdbg.engine.queries.parting import Pair, events_beside
from rrdbg.engine.replay import Replay
from rrdbg.errors import Interrupted, RrdbgError, Undecided, UsageError
from rrdbg.model.results import Beside, Message, Result, WaysPart
from rrdbg.model.timeline.beside import Row, Side, Sight
from rrdbg.store.library import Library
from rrdbg.store.opening import is_inside

COMPARE = Registry()

_ROWS = 3
"""Events that are shown before the place where two recordings part, and behind it."""


@COMPARE.command(
    "compare", Category.QUERIES, "Put another recording of the guest beside this one, and go to where the two part.",
    arguments="RECORDING", takes=(Takes.RECORDING,),
    details="RECORDING is one in the library, one beside this one, or a directory. Of what came to the guests from "
    "outside the last that is the same in both is listed, and what comes next in each, with the functions in which it "
    "came. Then the place is found where they go different ways, and the cursor is left there, before the step. "
    "'rrdbg bisect-boot' compares registers and memory, too.",
    examples=("compare hunt-1-passed-1", "compare boot-2"),
)  # fmt: skip
async def _compare(session: Session, text: str) -> AsyncGenerator[Result, None]:
    ours, origin = session.replay, session.replay.position
    async with await Replay.open(_other(session, text)) as theirs:
        _check_alike(ours, theirs)
        names = await _Names.of(session, theirs)
        pair, sides = Pair(ours, theirs), (_side(ours), _side(theirs))
        try:
            with interrupted_at(lambda: ours.position, "the two recordings were being compared"):
                alike, rows = await asyncio.to_thread(events_beside, ours, theirs, _ROWS)
                yield Beside(sides, alike, tuple([await _placed(row, pair, names) for row in rows]))
                parting = await pair.first_flow_of_all(lambda probe, left: None)
                afters = await _here(pair, names)
                await pair.seek(parting.before)
                befores = await _here(pair, names)
        except Undecided as error:
            await ours.seek(origin)
            yield Message(f"No step is found with which they begin to go different ways. {error} ('rrdbg bisect-boot')")
            return
        except Interrupted:
            await ours.seek(origin)
            raise Interrupted(f"Interrupted, back at {origin}.") from None
        except RrdbgError:
            await ours.seek(origin)
            raise
    yield WaysPart(sides, befores, afters)
    yield await session.stopped(await ours.seek(parting.before))


def _other(session: Session, text: str) -> Path:
    """The recording that is meant.

    :raises UsageError: none is named, or this one.
    :raises RecordingError: there is none of that name.
    """
    if not text:
        raise UsageError("'compare' needs another recording of this guest; 'rrdbg ls' lists them.")
    own = session.replay.recording.layout.root.resolve()
    beside = own.parent / text
    path = beside if is_inside(beside, "manifest.json") else Library.default().find(text)
    if path.resolve() == own:
        raise UsageError(f"{text} is this recording itself; name another one of the same guest.")
    return path


def _check_alike(ours: Replay, theirs: Replay) -> None:
    architectures = [replay.recording.manifest.invocation.architecture for replay in (ours, theirs)]
    if architectures[0] != architectures[1]:
        raise UsageError(
            f"{theirs.recording.name} is of a guest of {architectures[1]}, and this one of {architectures[0]}: there "
            "is nothing to compare."
        )


def _side(replay: Replay) -> Side:
    return Side(replay.recording.name, replay.timeline.end, replay.recording.manifest.ended)


@dataclass(frozen=True, slots=True)
class _Names:
    """The functions in both guests, by the symbols of one.

    A kernel that chooses its place at random lies ``moved`` bytes further on in the other; None where that one runs
    another kernel, of which nothing is known here.
    """

    session: Session
    moved: int | None

    @classmethod
    async def of(cls, session: Session, theirs: Replay) -> _Names:
        kernels = [replay.recording.manifest.checksums.get("files/kernel") for replay in (session.replay, theirs)]
        if kernels[0] != kernels[1]:
            return cls(session, None)
        ours = session.linux.known
        other = await LinuxGuest(theirs).look() if ours and ours.base else None
        return cls(session, other.base - ours.base if ours and ours.base and other and other.base else 0)

    async def ours(self, address: int) -> str:
        symbols = self.session.symbols
        return await symbols.place(address) if symbols else f"{address:#x}"

    async def theirs(self, address: int) -> str:
        return f"{address:#x}" if self.moved is None else await self.ours(address - self.moved)


async def _placed(row: Row, pair: Pair, names: _Names) -> Row:
    """``row`` with the functions in which each guest was."""
    return replace(
        row, first=await _in_function(row.first, pair.good, names.ours),
        second=await _in_function(row.second, pair.bad, names.theirs),
    )  # fmt: skip


async def _in_function(sight: Sight | None, replay: Replay, name: Callable[[int], Awaitable[str]]) -> Sight | None:
    # A shutdown is logged behind the last position that a replay can reach.
    if sight is None or sight.position > replay.timeline.end:
        return sight
    await replay.seek(sight.position)
    return replace(sight, place=await name(await replay.pc()))


async def _here(pair: Pair, names: _Names) -> tuple[Sight, Sight]:
    """The instructions at both cursors."""
    return await _instruction(pair.good, names.ours), await _instruction(pair.bad, names.theirs)


async def _instruction(replay: Replay, name: Callable[[int], Awaitable[str]]) -> Sight:
    pc = await replay.pc()
    lines = await replay.disassemble(pc, 1)
    return Sight(replay.position, lines[0][1] if lines else "", await name(pc))
