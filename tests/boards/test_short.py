"""Programs of 32 bits, on CPUs of 32 and of 64 bits: their stacks, calls and conditions, in whatever reads those."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import rrdbg
from rrdbg.commands.program import program_of
from rrdbg.engine.queries.profile import profile
from rrdbg.engine.replay import Replay
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.model.hits.stop import Breakpoint
from rrdbg.model.results import Found, Output
from rrdbg.model.timeline.position import Position
from tests.boards.conftest import GUESTS
from tests.conftest import GUEST_DIR, failing_clearly
from tests.dap.editor import editing
from tests.guests.build import run_tool, symbol
from tests.guests.rtos import build_rtos
from tests.mcp.agent import agent

_GCC = (
    *(
        "gcc",
        "-m32",
        "-std=gnu17",
        "-Og",
        "-g",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-ffreestanding",
        "-nostdlib",
        "-static",
    ),
    *("-fno-pic", "-no-pie", "-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables"),
    *("-mgeneral-regs-only", "-Wl,--build-id=none,--no-warn-rwx-segments"),
)
_ROUNDS, _ITEMS = 16, 8
_WALK = (
    "python exec('f = gdb.newest_frame()\\nwhile f:\\n  "
    'if f.type() == gdb.NORMAL_FRAME and f.function(): print(f"at {f.pc():x}")\\n  f = f.older()\')'
)


@pytest.fixture(scope="session")
def elf() -> Path:
    """The program for a PC."""
    GUEST_DIR.mkdir(parents=True, exist_ok=True)
    with failing_clearly("short"):
        run_tool(*_GCC, f"-Wl,-T,{GUESTS / 'short.ld'}", "-o", str(GUEST_DIR / "short.elf"), str(GUESTS / "short.c"))
    return GUEST_DIR / "short.elf"


@pytest.fixture(scope="session", params=["x86_64", pytest.param("i386", marks=pytest.mark.matrix)])
def short(request: pytest.FixtureRequest, elf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of it; not to be changed."""
    root = tmp_path_factory.mktemp("short") / "short"
    command = (f"qemu-system-{request.param}", "-m", "16M", "-nodefaults", "-display", "none", "-serial", "stdio")
    rrdbg.record([*command, "-kernel", str(elf)], root, until_console="done")
    return root


async def compared(replay: Replay, elf: Path, first: str, length: int, every: int) -> int:
    """Compare stacks from where the function ``first`` is called with GDB's; how deep the deepest one is."""
    await replay.cont([Breakpoint(1, symbol(elf, first).address & ~1)])
    begin, program = replay.position, await program_of(replay, elf)
    assert program
    assert program.frames
    found = [sample async for sample in profile(replay, every, begin, Position(begin.icount + length), program.frames)]
    assert len(found) >= length // every
    deepest = 0
    async with Debugger.on(replay, "gdb", elf) as debugger:
        for sample in found:
            await replay.seek(sample.position)
            shown = "".join(told.text for told in await debugger.run(_WALK) if isinstance(told, Output))
            frames = [int(address, 16) for address in re.findall(r"^at (\w+)$", shown, re.MULTILINE)]
            assert list(sample.stack[: len(frames)]) == frames, sample.position
            deepest = max(deepest, len(frames))
    return deepest


async def test_stacks_are_those_of_gdb(short: Path, elf: Path, tmp_path: Path) -> None:
    async with await Replay.open(shutil.copytree(short, tmp_path / "short")) as replay:
        assert await compared(replay, elf, "walk", 200, 19) > _ITEMS


async def test_stacks_of_a_cortex_m_lead_out_of_its_interrupts(tmp_path: Path) -> None:
    with failing_clearly("rtos"):
        elf = build_rtos("mps2-an385", GUEST_DIR)
    command = ("qemu-system-arm", "-M", "mps2-an385", "-nographic", "-kernel", str(elf))
    await rrdbg.record_async(command, tmp_path / "rtos", max_icount=100_000)
    async with await Replay.open(tmp_path / "rtos") as replay:
        assert await compared(replay, elf, "put_number", 300, 37) > 1
        assert await compared(replay, elf, "choose_task", 6, 3) > 1


async def test_what_a_program_is_asked_by_its_variables(short: Path, elf: Path, tmp_path: Path) -> None:
    """Calls, conditions, values of all of time: each would be wrong by the numbers of a 64-bit CPU's registers."""
    values = [turn + item for turn in range(_ROUNDS) for item in range(_ITEMS)]
    with rrdbg.open(shutil.copytree(short, tmp_path / "short"), symbols=elf) as replay:
        calls = list(replay.calls("add"))
        assert [call.arguments["value"] for call in calls] == values
        assert [call.returned for call in calls[:_ITEMS]] == [0, 1, 2, 3, 4, 5, 6, 7]
        assert {call.caller.partition("+")[0] for call in calls} == {"walk"}
        printed = [found.text for found in replay.run('tprintf add,"%u",value') if isinstance(found, Found)]
        assert printed == [str(value) for value in values]
        replay.seek("start")
        replay.gdb("break add if value == 20")
        replay.gdb("continue")
        assert replay.gdb("print value").endswith("= 20\n")
        assert replay.position == calls[values.index(20)].position


@pytest.mark.matrix
async def test_an_editor_and_an_agent_see_it(short: Path, elf: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(short, tmp_path / "short")
    async with editing(tmp_path, str(copy), "--symbols", str(elf)) as editor:
        await editor.begin()
        await editor.ask("setFunctionBreakpoints", breakpoints=[{"name": "add", "condition": "value == 7"}])
        await editor.move("rrdbg/seek", position="start")
        await editor.move("continue", threadId=1)
        frames = (await editor.ask("stackTrace", threadId=1))["stackFrames"]
        assert [frame["name"] for frame in frames] == ["add", *["walk"] * _ITEMS, "run", "_start"]
        scopes = (await editor.ask("scopes", frameId=frames[0]["id"]))["scopes"]
        told = (await editor.ask("variables", variablesReference=scopes[0]["variablesReference"]))["variables"]
        (item,) = [variable for variable in told if variable["name"] == "item"]
        info = await editor.ask("dataBreakpointInfo", variablesReference=item["variablesReference"], name="number")
        assert info["dataId"].endswith(":4")
        stop = await editor.move("stepBack", threadId=1)
        here = str(stop["icount"])
    async with agent(tmp_path / "library", [copy], "--symbols", str(elf)) as asking:
        state = await asking.ask("state", at=here, expressions=["item->number"], frames=10)
        assert state.count(" in walk (") + state.count("  walk (") >= 1, state
