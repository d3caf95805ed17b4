"""GDB's line-wise commands backwards give what GDB's own recorder gives.

``record full`` notes what each instruction changes and undoes it: nothing of rrdbg's is in it, but GDB's stepping over
lines and calls is the same above both. So two GDBs go through one stretch of the recording, one with that recorder, one
with rrdbg's reverse execution, and must stand at the same place with the same registers after each command.

RRDBG_OPERATIONS and RRDBG_SEED are as in test_gdb_instructions.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.errors import GdbError
from rrdbg.model.timeline.position import Position
from rrdbg.store.recording import Recording
from tests.server.conftest import Debugger, debugging
from tests.server.test_gdb_instructions import OPERATIONS, SEED

LENGTH = 3000
"""Instructions of the stretch: three rounds of the guest's work."""
COMMANDS = (
    "reverse-step", "reverse-step", "reverse-step 3", "reverse-next", "reverse-next", "reverse-next 2",
    "reverse-finish", "reverse-stepi", "reverse-nexti", "reverse-nexti 5", "step", "step 2", "next", "nexti", "stepi 9",
    "finish",
)  # fmt: skip
FUNCTIONS = ("do_round", "mix", "fold", "twist")
_LINUX = '<feature name="org.gnu.gdb.i386.linux"><reg name="orig_rax" bitsize="64" type="int"/></feature>'
REGISTERS = ("$rip", "$rsp", "$rbx", "$rdi")


@pytest.fixture(scope="module")
def quiet(workload: Path) -> int:
    """The icount from which on nothing is delivered for that long, and somewhat longer: GDB may go on from its end.

    The recorder knows no interrupts. The guest is at work there, in the middle of its rounds.
    """
    with Recording.open(workload) as recording:
        deliveries, end = recording.log.deliveries, recording.manifest.end
    start = end * 3 // 4
    while deliveries.any_between(start, start + LENGTH + 2000):
        start += 100
    return start


@asynccontextmanager
async def recorded(workload: Path, elf: Path, folder: Path, start: int) -> AsyncIterator[Debugger]:
    """A GDB whose recorder has the stretch in memory, at its end.

    It undoes instructions by writing registers and memory, so it is given a what-if. It wants the target to be a Linux
    process, which has one register more.
    """
    folder.mkdir()
    description = folder / "target.xml"
    async with await Replay.open(workload) as replay:
        for name, text in (await replay.machine()).description.items():
            text = text.replace("<target>", '<target xmlns:xi="http://www.w3.org/2001/XInclude">')
            (folder / name).write_text(text.replace("</target>", f"{_LINUX}</target>"))
    commands = ("set osabi GNU/Linux", f"set tdesc filename {description}")
    async with debugging(workload, elf, folder, *commands) as debugger:
        await debugger.seek(Position(start))
        await debugger.gdb.console("monitor what-if on")
        await debugger.look_again()
        # In a what-if an interrupt may come at another time: clear the interrupt flag.
        flags = (await debugger.gdb.console("print/x $eflags")).split()[-1]
        await debugger.gdb.console(f"set var $eflags = {int(flags, 16) & ~0x200}")
        await debugger.gdb.console("set record full insn-number-max unlimited")
        await debugger.gdb.console("record full")
        await debugger.move(f"stepi {LENGTH}")
        yield debugger


async def state(debugger: Debugger) -> list[int]:
    return [await debugger.number(name) for name in REGISTERS]


async def outcome(debugger: Debugger, command: str) -> str:
    """Why GDB stopped, or what it said instead of moving."""
    try:
        return await debugger.move(command)
    except GdbError as error:
        return str(error)


@pytest.mark.matrix
async def test_lines_and_calls_as_with_gdbs_recorder(
    workload: Path, workload_guest: Path, tmp_path: Path, quiet: int
) -> None:
    chance = random.Random(SEED)
    async with (
        recorded(workload, workload_guest, tmp_path / "recorder", quiet) as model,
        debugging(workload, workload_guest, tmp_path) as ours,
    ):
        await ours.seek(Position(quiet + LENGTH))
        assert await state(ours) == await state(model)
        trace = []
        for _ in range(OPERATIONS // 2):
            if chance.random() < 0.1:
                place = chance.randrange(LENGTH // 3, LENGTH)
                await model.gdb.console(f"record goto {place}")
                await ours.seek(Position(quiet + place))
                trace.append(f"goto {place}")
                assert await state(ours) == await state(model), trace[-1]
            command = chance.choice(COMMANDS)
            if chance.random() < 0.2:
                command = chance.choice(("reverse-continue", "continue"))
                function = chance.choice(FUNCTIONS)
                for debugger in (model, ours):
                    await debugger.gdb.console(f"tbreak {function}")
                trace.append(f"tbreak {function}")
            trace.append(command)
            reasons = [await outcome(debugger, command) for debugger in (model, ours)]
            if "no-history" in reasons:
                # Where the recorder ends the recording goes on.
                trace.append("restart")
                for debugger in (model, ours):
                    await debugger.gdb.console("delete")
                await model.gdb.console(f"record goto {LENGTH // 2}")
                await ours.seek(Position(quiet + LENGTH // 2))
            else:
                assert reasons[0] == reasons[1], "\n".join(trace[-8:])
            assert await state(ours) == await state(model), "\n".join(trace[-8:])
