"""The ``bisect`` command: to where something first holds, if it holds from then on."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from rrdbg.commands.arguments import read_stretch
from rrdbg.commands.registry import Category, Registry, Takes
from rrdbg.commands.scope import bisection
from rrdbg.commands.session import Session
from rrdbg.commands.subject import compiled
from rrdbg.engine.queries.bisect import Bisector
from rrdbg.engine.queries.predicates import FormulaPredicate
from rrdbg.errors import Interrupted, RrdbgError
from rrdbg.model.hits.predicate import ExpressionFormula
from rrdbg.model.program.scope import read_task
from rrdbg.model.results import Message, Result
from rrdbg.render.text import times

BISECT = Registry()


@BISECT.command(
    "bisect", Category.QUERIES, "Go to where CONDITION begins to hold, found by halving.",
    arguments="CONDITION [from POSITION] [to POSITION] [--task NAME|PID]", takes=(Takes.CONDITION,),
    details="CONDITION is an expression of the guest's program, without local variables. It must not hold at the first "
    "position, but from some position on up to the last one: 'rrdbg bisect' has more to choose from, and finds every "
    "change. The cursor is left on the instruction that makes it hold. With --task it is asked only where that task of "
    "a Linux guest runs, or any thread of the process with that number, of its own memory, and as long as it has that; "
    "if it begins to hold while others run, the cursor is left where the task goes on.",
    examples=(
        "bisect tasks[3].magic != 0x5461736b4d616769 from 75%", "bisect counter > 1000",
        "bisect *(long*)0x55d0c0de4010 > 2 --task witness",
    ),
)  # fmt: skip
async def _bisect(session: Session, text: str) -> AsyncGenerator[Result, None]:
    replay = session.replay
    origin = replay.position
    text, task = read_task(text)
    what, start, end = await read_stretch(session, text)
    formula = ExpressionFormula(await compiled(session, what))
    between, predicate = await bisection(session, FormulaPredicate(formula), start, end, task)
    bisector = Bisector(replay, predicate, between)
    try:
        turn = await bisector.run()
    except Interrupted:
        await replay.seek(origin)
        left = bisector.bisection
        raise Interrupted(
            f"Interrupted, back at {origin}. As far as is known it is between {left.good} and {left.bad}."
        ) from None
    except RrdbgError:
        await replay.seek(origin)
        raise
    shown = what if not what.startswith("@") else "the condition"
    whose = f" in task {between.task}" if between.task else ""
    yield Message(f"At {turn.position} {shown} holds for the first time{whose} ({times(turn.probes)} looked).")
    yield Message(f"  Old value = {turn.old}\n  New value = {turn.new}")
    if turn.elsewhere:
        yield Message(turn.told_elsewhere)
    yield await session.stopped(await replay.seek(turn.place))
