"""``rrdbg bisect-boot``: where two recordings of the same guest part."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack

from rrdbg.engine.interruption import interrupted_at
from rrdbg.engine.queries.parting import Pair, different_events
from rrdbg.errors import Undecided
from rrdbg.frontends.api import AsyncReplay
from rrdbg.frontends.shared.options import add_budget, add_trust
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.links.gdb_choice import USUAL
from rrdbg.model.hits.bisection import Bisection, Probe
from rrdbg.model.results import Where
from rrdbg.model.timeline.difference import Difference, Parting
from rrdbg.model.timeline.events import GuestEvent
from rrdbg.model.timeline.position import Position
from rrdbg.render.text import table

_SIDES = ("good", "bad")

_DESCRIPTION = """
Run two recordings of the same guest side by side, one of which works, and find where they part: where registers or
memory first differ, and where they first go different ways. Record both with the same QEMU, the same machine and the
same -rtc base=DATE. Exit status 0: they part. 3: no difference is found. Else as for bisect.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("bisect-boot", help="find where two recordings part", description=_DESCRIPTION)
    for side in _SIDES:
        parser.add_argument(
            f"--{side}",
            metavar="RECORDING",
            required=True,
            help=f"the {side} one: a directory or a name in the library",
        )
        parser.add_argument(f"--symbols-{side}", metavar="FILE", help="its ELF file with symbols (default: its kernel)")
    parser.add_argument("--from", dest="start", metavar="POSITION", default="start", help="they are alike there")
    parser.add_argument("--to", dest="end", metavar="POSITION", help="they differ there (default: where one ends)")
    parser.add_argument(
        "--compare", choices=("state", "flow", "both"), default="both",
        help="registers and memory, the way that the program goes, or one after the other (default)",
    )  # fmt: skip
    parser.add_argument(
        "--gdb", metavar="PROGRAM", default=USUAL, help="the GDB to use (default: gdb or gdb-multiarch)"
    )
    parser.add_argument("--no-gdb", action="store_true", help="use no GDB: no functions and lines")
    parser.add_argument("--json", action="store_true", help="answer with one JSON object a line")
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    add_budget(parser)
    add_trust(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Compare, and tell where they part."""
    async with AsyncExitStack() as stack:
        sides = [await stack.enter_async_context(await _open(arguments, side)) for side in _SIDES]
        start = await sides[0].position_of(arguments.start)
        end = await sides[0].position_of(arguments.end) if arguments.end else None
        await compare(
            sides, start, end, arguments.compare, json=arguments.json, quiet=arguments.quiet or arguments.json
        )  # fmt: skip
        return 0


async def compare(
    sides: Sequence[AsyncReplay], start: Position, end: Position | None, what: str, *, json: bool, quiet: bool
) -> None:
    """Tell where two recordings, the good one first, part between ``start`` and ``end`` (the end of one of them).

    ``what`` is compared: ``state``, ``flow`` or ``both``.

    :raises Undecided: no difference is found.
    """
    with interrupted_at(lambda: sides[0].position, "the recordings were being compared"):
        report = _Report(sides, json=json, quiet=quiet)
        pair = Pair(sides[0].cursor, sides[1].cursor)
        last = min(end or pair.end, pair.end)
        report.events(await asyncio.to_thread(different_events, pair.good, pair.bad))
        if what != "flow":
            parting = await pair.first_state(Bisection.between(start, last), report.probe)
            await report.parting("state", parting)
            start = parting.before
        if what != "state":
            try:
                if end is None and start < pair.around()[1]:
                    parting = await pair.first_flow_of_all(report.probe, start)
                else:
                    parting = await pair.first_flow(Bisection.between(start, last), report.probe)
            except Undecided as error:
                if what == "flow":
                    raise
                report.same_flow(error)
                return
            await report.parting("flow", parting)


async def _open(arguments: argparse.Namespace, side: str) -> AsyncReplay:
    given = vars(arguments)
    gdb = None if arguments.no_gdb else arguments.gdb
    return await AsyncReplay.open(
        given[side], symbols=given[f"symbols_{side}"], gdb=gdb, snapshot_budget=arguments.snapshot_budget,
        trust=arguments.trust,
    )  # fmt: skip


class _Report:
    def __init__(self, sides: Sequence[AsyncReplay], *, json: bool, quiet: bool) -> None:
        self._sides = sides
        self._json = json
        self._line = ProgressLine(quiet=quiet)
        self._count = 0

    def probe(self, probe: Probe, left: Bisection) -> None:
        self._count += 1
        if self._json:
            self._print("probe", position=_plain(probe.position), same=probe.value == "the same", rounds=left.rounds)
        else:
            eta = left.rounds * probe.seconds
            self._line.say(
                f"{self._count:>3}. {probe.position!s:>17}  {probe.value:<9}  "
                f"{left.remaining:,} left, about {left.rounds} probes, {eta:.0f} s"
            )

    def events(self, found: tuple[GuestEvent | None, GuestEvent | None] | None) -> None:
        """What came from outside, in one recording only."""
        if self._json:
            told = [
                event and {**_plain(event.position), "kind": event.kind, "text": event.text} for event in found or ()
            ]
            self._print("events", first_different=told or None)
        elif found:
            print("The first event from outside that is not in both recordings:")
            print(table(("", "Position", "Kind", ""), [_event(*item) for item in zip(_SIDES, found, strict=True)]))
        else:
            print("The same interrupts, input and packets come at the same places in both recordings.")

    async def parting(self, what: str, parting: Parting) -> None:
        """Where they part, and how."""
        places = [await self._place(api, parting.before) for api in self._sides]
        difference = parting.difference
        if self._json:
            self._print(
                what, before=_plain(parting.before), **_json(difference), probes=parting.probes,
                good=_json_place(places[0]), bad=_json_place(places[1]),
            )  # fmt: skip
            return
        title = "Registers and memory" if what == "state" else "The ways that they go"
        print(f"\n{title} are the same up to {parting.before}, and differ after the next step:")
        print(
            table(
                ("", "Before the step", "After it"),
                [_row(*item) for item in zip(_SIDES, places, difference.positions, strict=True)],
            )
        )
        for name, values in difference.registers.items():
            print(f"  {name:<10} {values[0]:#x} (good), {values[1]:#x} (bad)")
        if memory := difference.memory:
            print(f"  memory at physical {memory.address:#x}: {memory.first.hex(' ')} (good)")
            print(f"  {'':<{len(f'{memory.address:#x}') + 20}}{memory.second.hex(' ')} (bad)")
        print(f"{parting.probes} probes, {parting.seconds:.1f} s.")

    def same_flow(self, error: Undecided) -> None:
        """They hold different data and go the same way."""
        if self._json:
            self._print("flow", same=True, message=str(error))
        else:
            print(f"\nThey go the same way. {error}")

    async def _place(self, api: AsyncReplay, position: Position) -> Where:
        await api.seek(position)
        (where,) = await api.run("when")
        assert isinstance(where, Where)
        return where

    def _print(self, kind: str, **content: object) -> None:
        print(json.dumps({"kind": kind, **content}), flush=True)


def _event(side: str, event: GuestEvent | None) -> tuple[str, str, str, str]:
    return (side, str(event.position), str(event.kind), event.text) if event else (side, "", "none", "")


def _row(side: str, where: Where, after: Position) -> tuple[str, str, str]:
    function = where.frame.function if where.frame else None
    return side, f"{where.pc:#x} {f'<{function}> ' if function else ''}{where.instruction}", str(after)


def _json(difference: Difference) -> dict[str, object]:
    memory = difference.memory
    return {
        "after": [_plain(position) for position in difference.positions],
        "registers": {name: list(values) for name, values in difference.registers.items()},
        "memory": memory and {"address": memory.address, "good": memory.first.hex(), "bad": memory.second.hex()},
    }


def _json_place(where: Where) -> dict[str, object]:
    frame = where.frame
    return {
        "pc": where.pc, "instruction": where.instruction, "function": frame.function if frame else None,
        "file": frame.file if frame else None, "line": frame.line if frame else None,
    }  # fmt: skip


def _plain(position: Position) -> dict[str, int]:
    return {"icount": position.icount, "phase": position.phase}
