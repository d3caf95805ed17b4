"""After the hunt: what is known of why the first kept run failed, and where it parts from a run that passes."""

from __future__ import annotations

import argparse
from contextlib import AsyncExitStack

from rrdbg.engine.hunt.attempt import Guest, Judge
from rrdbg.engine.hunt.explainer import Explainer
from rrdbg.engine.hunt.hunter import Run
from rrdbg.errors import Undecided
from rrdbg.frontends.api import AsyncReplay
from rrdbg.frontends.bisect.boots import compare
from rrdbg.frontends.hunt.report import Report
from rrdbg.frontends.shared.options import gdb_of
from rrdbg.model.timeline.position import START
from rrdbg.store.library import Library


async def explain(
    run: Run, guest: Guest, judge: Judge, library: Library, report: Report, arguments: argparse.Namespace
) -> None:
    """Make some more runs, and compare ``run`` with the most similar of them that passes."""
    assert run.recording is not None
    explainer = Explainer(guest, judge, library, report.tried)
    explanation = await explainer.explain(run, f"{run.recording.name}-passed")
    report.explained(run, explanation)
    if explanation.passed is None:
        return
    gdb = gdb_of(arguments)
    async with AsyncExitStack() as stack:
        sides = [
            await stack.enter_async_context(await AsyncReplay.open(path, symbols=arguments.symbols, gdb=gdb))
            for path in (explanation.passed, run.recording)
        ]
        try:
            await compare(sides, START, None, "flow", json=arguments.json, quiet=arguments.quiet or arguments.json)
        except Undecided as error:
            report.alike(str(error))
