"""Every change of what a predicate is founded on, exactly and in order: what a bisect cannot promise.

A formula says which memory it reads. That is watched in one pass, and the formula asked anew, of the bytes that the
hits have brought, after each instruction that changes one of them. If it then reads other memory than before, since a
pointer has changed, the pass begins anew from there. Memory that is not mapped at first is looked at again when it is
written to. What reads registers changes with every instruction, and what is
no formula nobody can watch: those are asked at each single step.

Memory that each process has of its own is meant in the address space at the end of the stretch. Where another one is in
use at its start, it is looked at for the first time just before the first write to it.

For one task those changes count that it finds: what others do while it does not run is one change, where it goes on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from rrdbg.engine.queries.evaluate import answer
from rrdbg.engine.queries.predicates import FormulaPredicate, Predicate
from rrdbg.engine.replay import Replay
from rrdbg.errors import RspError
from rrdbg.model.hits.address_space import AddressSpace
from rrdbg.model.hits.bisection import Judgement, Verdict
from rrdbg.model.hits.predicate import NOT_THERE, ByteOrder, Formula, Question
from rrdbg.model.hits.stop import Hit, Watchpoint
from rrdbg.model.hits.task_runs import TaskRuns
from rrdbg.model.program.agent import BadExpression, NeedMemory, NeedRegister
from rrdbg.model.timeline.position import Position

_NOT_USERS = 1 << 63
"""The bit that addresses of the kernel's half have where there are halves."""


@dataclass(frozen=True, slots=True)
class Change:
    """From ``position`` on the judgement is ``now``; just before it was ``before``."""

    position: Position
    before: Judgement
    now: Judgement


class _Unknown(Exception):
    """Something was asked for that the watched bytes do not tell."""


@dataclass(slots=True)
class _Known:
    """The bytes that a formula has read, by place, and whether it reads registers."""

    memory: dict[tuple[int, int], bytes] = field(default_factory=dict)
    registers: bool = False

    def noting(self, question: Question) -> Question:
        """``question``, whose answers are noted as they come."""
        try:
            need = next(question)
            while True:
                if isinstance(need, NeedRegister):
                    self.registers = True
                else:
                    self.memory[need.address, need.length] = b""  # until it is known, if it is mapped
                given = yield need
                if isinstance(need, NeedMemory):
                    assert isinstance(given, bytes)
                    self.memory[need.address, need.length] = given
                need = question.send(given)
        except StopIteration as result:
            judgement: Judgement = result.value
            return judgement

    def ask(self, formula: Formula, order: ByteOrder) -> Judgement:
        """What ``formula`` says if memory is what is known.

        :raises _Unknown: it reads something else.
        """
        question = formula.ask(order)
        try:
            need = next(question)
            while True:
                if not isinstance(need, NeedMemory) or (need.address, need.length) not in self.memory:
                    raise _Unknown
                need = question.send(self.memory[need.address, need.length])
        except StopIteration as result:
            judgement: Judgement = result.value
            return judgement


async def changes(
    replay: Replay, predicate: Predicate, start: Position, end: Position, task: TaskRuns | None = None
) -> AsyncGenerator[Change, None]:
    """Each change of the value that ``predicate`` is founded on, from ``start`` to ``end``; moves the cursor.

    With ``task`` those that it finds, which must run at both ends.
    """
    found = (
        _watched(replay, predicate, start, end)
        if isinstance(predicate, FormulaPredicate)
        else _stepped(replay, predicate, start, end, task)
    )
    async with aclosing(_found_by(task, found, end) if task else found) as listed:
        async for change in listed:
            yield change


async def _found_by(task: TaskRuns, found: AsyncGenerator[Change, None], end: Position) -> AsyncGenerator[Change, None]:
    """The changes that the task finds, each where it does."""
    held: Change | None = None
    async with aclosing(found):
        async for change in found:
            place = task.at_or_after(change.position)
            if place is None or place > end:
                break
            if held and held.position == place:
                held = replace(held, now=change.now)
                continue
            if held and held.before != held.now:
                yield held
            held = replace(change, position=place)
    if held and held.before != held.now:
        yield held


async def _watched(
    replay: Replay, predicate: FormulaPredicate, start: Position, end: Position
) -> AsyncGenerator[Change, None]:
    last: Judgement | None = None
    home = await _home(replay, predicate.formula, end)
    here = max(start, await replay.begun(home)) if home else start
    while here < end:
        await replay.seek(here)
        inside = home is None or await replay.space_in_use() == home.root
        if not inside:
            await replay.seek(end)
        known, now = await _read(replay, predicate.formula)
        if known is None:
            async with aclosing(_stepped(replay, predicate, here, end)) as listed:
                async for change in listed:
                    yield change
            return
        if inside:
            if last is not None and now != last:
                yield Change(here, last, now)
            last = now
        here, pass_end = end, here
        order = (await replay.machine()).register_file.byte_order
        points = [
            Watchpoint(-1 - number, *place, space=home if home and not place[0] & _NOT_USERS else None)
            for number, place in enumerate(known.memory)
        ]
        if home:
            await replay.seek(end)  # where the address space is meant
        async with aclosing(replay.scan(points, pass_end, end)) as hits:
            async for position, together in _grouped(hits):
                if not inside or last is None:
                    here = await replay.before(position)
                    break
                try:
                    _take(known, together)
                    now = known.ask(predicate.formula, order)
                except _Unknown:
                    here = position
                    break
                except BadExpression as error:
                    now = Judgement(Verdict.GOOD, f"<{error}>")
                if now != last:
                    yield Change(position, last, now)
                last = now


async def _home(replay: Replay, formula: Formula, end: Position) -> AddressSpace | None:
    """The address space at ``end``, if ``formula`` reads there what depends on it."""
    if replay.spaces.everywhere:
        return None
    await replay.seek(end)
    known, _ = await _read(replay, formula)
    spaces = [await replay.space_of(address) for address, _ in known.memory] if known else []
    return next((space for space in spaces if space), None)


async def _read(replay: Replay, formula: Formula) -> tuple[_Known | None, Judgement]:
    """What the formula reads at the cursor, and says; None where that cannot be watched."""
    machine = await replay.machine()
    known = _Known()
    try:
        question = known.noting(formula.ask(machine.register_file.byte_order))
        judgement = await answer(question, machine, await machine.register_packet())
    except RspError:
        judgement = NOT_THERE
    except BadExpression as error:
        judgement = Judgement(Verdict.GOOD, f"<{error}>")
    return (None if known.registers or not known.memory else known), judgement


def _take(known: _Known, hits: list[Hit]) -> None:
    for hit in hits:
        assert isinstance(hit.point, Watchpoint)
        if hit.change is None:
            raise _Unknown
        known.memory[hit.point.address, hit.point.length] = hit.change.after


async def _grouped(hits: AsyncIterator[Hit]) -> AsyncGenerator[tuple[Position, list[Hit]], None]:
    """The hits at each position: one instruction may change several watched places."""
    together: list[Hit] = []
    async for hit in hits:
        if together and hit.position != together[0].position:
            yield together[0].position, together
            together = []
        together.append(hit)
    if together:
        yield together[0].position, together


async def _stepped(
    replay: Replay, predicate: Predicate, start: Position, end: Position, task: TaskRuns | None = None
) -> AsyncGenerator[Change, None]:
    await replay.seek(start)
    last = await predicate.judge(replay)
    while replay.position < end:
        await replay.stepi()
        here = replay.position
        if task and not task.begins_at(here):
            here = task.at_or_after(here) or end
            await replay.seek(min(here, end))
            here = replay.position
        now = await predicate.judge(replay)
        if replay.position != here:
            await replay.seek(here)
        if now != last:
            yield Change(here, last, now)
        last = now
