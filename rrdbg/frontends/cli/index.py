"""``rrdbg index`` and ``rrdbg verify``: one replay from start to end that leaves, or checks, snapshots."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

from rrdbg.engine.interruption import interrupted_at
from rrdbg.engine.snapshots.indexer import Indexed, IndexProgress, index
from rrdbg.frontends.shared.options import add_budget, add_recording, add_trust, find_recording
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.model.size import counted, size_text
from rrdbg.model.timeline.position import Position
from rrdbg.store.hits_file import are_foreign
from rrdbg.store.library import Library
from rrdbg.store.recording import Recording

_INDEX = """
Replay a recording once and leave snapshots in it, each proved by a second QEMU, so that every place is reached
quickly. Ctrl-C keeps what was made. Nothing needs an index: travelling leaves snapshots too, on its way.
"""
_VERIFY = """
Check a recording: the files against their checksums, the replay against a second one, and each snapshot. Snapshots
that are not sound are dropped; named ones stay, and are not used. Exit status 1 if there was one, 4 if the recording
does not replay.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare both subcommands."""
    parser = commands.add_parser("index", help="leave snapshots in a recording", description=_INDEX)
    _common(parser)
    add_budget(parser)
    parser.add_argument("--no-proof", action="store_true", help="do not prove the snapshots; takes half the time")
    parser.set_defaults(run=run_index)
    parser = commands.add_parser("verify", help="check a recording and its snapshots", description=_VERIFY)
    _common(parser)
    parser.set_defaults(run=run_verify)


async def run_index(arguments: argparse.Namespace) -> int:
    """Index, and tell what came of it."""
    indexed = await _pass(
        arguments, "indexing", budget=arguments.snapshot_budget, spacing=None, prove=not arguments.no_proof
    )
    _report(arguments, "Indexed", indexed)
    return 0


async def run_verify(arguments: argparse.Namespace) -> int:
    """Verify; 1 if a snapshot is not sound, or hits lie there that were not found here."""
    foreign = are_foreign(Recording.peek(Library.default().find(arguments.recording))) and not arguments.trust
    # A spacing that is never reached and a budget that is never used up: the snapshots there are, and no others.
    indexed = await _pass(arguments, "verifying", budget=sys.maxsize, spacing=math.inf, prove=True)
    _report(arguments, "Verified", indexed)
    if foreign:
        print("hits.json was not written here: what it tells was not found, and is not used.", file=sys.stderr)
    return 1 if indexed.unsound or foreign else 0


async def index_and_tell(path: Path) -> None:
    """Index the recording at ``path``, which was made just now, and say on standard error what came of it."""
    line = ProgressLine()
    try:
        indexed = await index(path, on_progress=lambda progress: line.show(_text("indexing", progress)))
    finally:
        line.clear()
    print(_summary("Indexed", indexed), file=sys.stderr)


def _text(doing: str, progress: IndexProgress) -> str:
    return (
        f"[{doing} {progress.share:.0%}: at {progress.icount:,}, {counted(progress.snapshots, 'snapshot')} "
        f"({progress.proved} proved), {progress.eta_seconds:.0f} s left; Ctrl-C keeps them]"
    )


def _summary(done: str, indexed: Indexed) -> str:
    return (
        f"{done}: {counted(indexed.snapshots, 'snapshot')} ({indexed.proved} proved sound), {size_text(indexed.size)}, "
        f"in {indexed.seconds:.1f} s."
    )


def _common(parser: argparse.ArgumentParser) -> None:
    add_recording(parser)
    add_trust(parser)
    parser.add_argument("--json", action="store_true", help="answer with one JSON object")
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")


async def _pass(
    arguments: argparse.Namespace, doing: str, *, budget: int | None, spacing: float | None, prove: bool
) -> Indexed:
    line = ProgressLine(quiet=arguments.quiet or arguments.json)
    seen: list[IndexProgress] = []

    def show(progress: IndexProgress) -> None:
        seen[:] = [progress]
        line.show(_text(doing, progress))

    try:
        with interrupted_at(
            lambda: Position(seen[0].icount if seen else 0), f"{doing} the recording; what was made is kept"
        ):
            return await index(
                find_recording(arguments),
                budget=budget, spacing=spacing, prove=prove, on_progress=show,
            )  # fmt: skip
    finally:
        line.clear()


def _report(arguments: argparse.Namespace, done: str, indexed: Indexed) -> None:
    if arguments.json:
        content = asdict(indexed) | {
            "unsound": [{"icount": bad.snapshot.icount, "reason": bad.reason} for bad in indexed.unsound]
        }
        print(json.dumps(content))
        return
    print(_summary(done, indexed))
    for bad in indexed.unsound:
        print(f"The snapshot at {bad.snapshot.icount:,} is not sound: {bad.reason}.", file=sys.stderr)
