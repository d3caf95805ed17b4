"""What is told of a place, without a browser."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from rrdbg.engine.replay import Replay
from rrdbg.frontends.repl.runner import Runner
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.frontends.web.place import Places
from rrdbg.frontends.web.workbench import Workbench
from rrdbg.links.gdb_choice import USUAL
from tests.guests.build import symbol


async def run(runner: Runner, line: str) -> None:
    async def work() -> None:
        async for _ in runner.answers(line, structured=True):
            pass

    await runner.perform(work())


async def test_a_step_back_is_told_without_a_machine_at_the_cursor(
    heapbug: Path, heapbug_guest: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(heapbug, tmp_path / "heapbug"))
    async with await Replay.open(copy) as replay, Debugger.on(replay, USUAL, heapbug_guest) as debugger:
        runner = Runner(replay, debugger)
        places = Places(runner, source=True)
        await replay.seek(replay.timeline.end)
        told, apart = [], 0
        for _ in range(4):
            await run(runner, "reverse-stepi")
            stood = replay.machine_position
            told.append(await places.tell())
            # To bring one there takes a hundred times as long as all the rest.
            assert replay.machine_position == stood
            apart += stood != replay.position
        assert apart, "steps back were made without a machine"
        here = replay.position.icount
        assert [place["position"]["icount"] for place in told] == [here + back for back in (3, 2, 1, 0)]
        for place in reversed(told):
            registers = dict(place["registers"])
            assert registers["rip"] == place["pc"] == hex(await replay.pc())
            assert {name: int(value, 16) for name, value in registers.items()} == await replay.registers()
            await replay.stepi()
        await the_rest(runner, places, heapbug_guest)


async def the_rest(runner: Runner, places: Places, guest: Path) -> None:
    """What else is told of a place, of one recording that is open."""
    entry = symbol(guest, "panic_bad_magic").address
    await run(runner, f"break *{entry:#x}")
    await run(runner, "reverse-continue")
    assert await runner.replay.pc() == entry
    place = await places.tell()
    assert [frame["function"] for frame in place["frames"]][:2] == ["panic_bad_magic", "schedule"]
    assert place["frames"][0]["arguments"][0] == ["number", "3"]
    source = place["source"]
    assert "panic_bad_magic" in source["lines"][source["line"] - source["first"]]
    listed = await places.instructions()
    at = [address for address, _, _ in listed].index(hex(entry))
    assert listed[at][1] == "panic_bad_magic+0"
    assert "unseen" in await Places(runner, source=False).tell(), "source of a recording from elsewhere"

    found = await places.symbols("g_app")
    assert [known["name"] for known in found["functions"]] == ["log_append"]
    first, *others = [known["name"] for known in (await places.symbols("run_"))["functions"]]
    assert first.startswith("run_")
    assert "run_sleeper" in (first, *others)
    assert next(known["name"] for known in (await places.symbols("tasks"))["variables"]) == "tasks"
    assert (await places.symbols("$(x)")) == {"functions": [], "variables": []}, "no pattern of the user's"

    await run(runner, "up")
    place = await places.tell()
    assert place["selected"] == 1
    task = next(variable for variable in place["locals"] if variable["name"] == "task")
    parts = await places.parts(task["expression"])
    magic = next(part for part in parts if part["name"] == "magic")
    assert int(magic["value"], 0) == 0x5461736B4D616700
    bench = Workbench(runner, places)
    try:
        answers = [told async for told in bench.run(f"last {magic['expression']}")]
        assert answers[-1]["type"] == "done"
        (changed,) = [told for told in answers if told.get("kind") == "changed"]
        assert int(changed["before"], 0) == 0x5461736B4D616769
        dump: Any = await bench.ask("memory", "&tasks[3].magic")
        assert bytes.fromhex(dump["bytes"])[:8] == (0x5461736B4D616769).to_bytes(8, "little")
    finally:
        await bench.close()
