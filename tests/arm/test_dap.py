"""An editor at recordings of Arm guests."""

from __future__ import annotations

import base64
from pathlib import Path

from tests.dap.editor import Editor, Message, editing
from tests.guests.rtos import SOURCES
from tests.guests.spaces import SpacesGuest

CHOSEN = 47
"""The line of rtos.c that makes a task the current one."""


async def frames(editor: Editor) -> list[Message]:
    return list((await editor.ask("stackTrace", threadId=1))["stackFrames"])


async def registers(editor: Editor) -> dict[str, int]:
    """Those of the innermost frame that are numbers."""
    scopes = (await editor.ask("scopes", frameId=(await frames(editor))[0]["id"]))["scopes"]
    (scope,) = [scope for scope in scopes if scope["name"] == "Registers"]
    told = await editor.ask("variables", variablesReference=scope["variablesReference"])
    values = {variable["name"]: variable["value"] for variable in told["variables"]}
    return {name: int(value, 16) for name, value in values.items() if value.startswith("0x")}


async def watch(editor: Editor, expression: str) -> None:
    info = await editor.ask("dataBreakpointInfo", name=expression)
    await editor.ask("setDataBreakpoints", breakpoints=[{"dataId": info["dataId"]}])


async def test_a_cortex_m(station: Path, tmp_path: Path) -> None:
    """From the fault to the write that caused it, as docs/howto/cortex-m.md goes, but by an editor's requests."""
    async with editing(tmp_path, str(station)) as editor:
        await editor.begin()
        stack = await frames(editor)
        assert stack[0]["name"] == "hard_fault_handler"
        assert "pendsv_handler" in {frame["name"] for frame in stack}
        await watch(editor, "current")
        stop = await editor.move("reverseContinue", threadId=1)
        assert (stop["reason"], stop["text"].partition(" -> ")[2]) == ("data breakpoint", "0x0000024d")
        frame = (await frames(editor))[0]
        assert (frame["name"], frame["line"], frame["source"]["name"]) == ("choose_task", CHOSEN, "rtos.c")

        held = await registers(editor)
        pc = int(frame["instructionPointerReference"], 16)
        assert held["pc"] == pc
        assert {"r0", "sp", "lr", "xpsr"} <= {name.lower() for name in held}
        code = await editor.ask("disassemble", memoryReference=hex(pc), instructionOffset=-2, instructionCount=4)
        assert [int(line["address"], 16) for line in code["instructions"]] == [pc - 4, pc - 2, pc, pc + 2]
        assert "str" in code["instructions"][2]["instruction"]

        await editor.ask("setDataBreakpoints", breakpoints=[])
        back = await editor.move("stepBack", threadId=1, granularity="instruction")
        assert back["icount"] == stop["icount"] - 1
        assert (await editor.move("stepIn", threadId=1, granularity="instruction"))["icount"] == stop["icount"]

        await watch(editor, "((struct task *) 0x20000110)->next")
        stop = await editor.move("reverseContinue", threadId=1)
        assert stop["text"] == "0x200001e0 -> 0x00000000"
        assert (await frames(editor))[0]["name"] == "pendsv_handler"
        await editor.ask("setDataBreakpoints", breakpoints=[])

        source = {"path": str(SOURCES / "rtos.c")}
        points = [{"line": CHOSEN, "condition": "task->name[0] == 'p'"}]
        (point,) = (await editor.ask("setBreakpoints", source=source, breakpoints=points))["breakpoints"]
        assert point["verified"]
        stop = await editor.move("reverseContinue", threadId=1)
        assert stop["hitBreakpointIds"] == [point["id"]]
        name = await editor.ask("evaluate", expression="task->name", context="watch")
        assert '"printer"' in name["result"]
        assert await editor.ask("disconnect") == {}


async def test_an_aarch64(two_spaces: Path, spaces: SpacesGuest, tmp_path: Path) -> None:
    """Without lines: instructions, registers of 64 bits, and memory that is another one by turns."""
    elf = spaces.image.with_suffix(".elf")
    async with editing(tmp_path, str(two_spaces), "--symbols", str(elf)) as editor:
        await editor.begin()
        wanted = [{"name": "first_write"}]
        (point,) = (await editor.ask("setFunctionBreakpoints", breakpoints=wanted))["breakpoints"]
        stop = await editor.move("reverseContinue", threadId=1)
        assert (stop["reason"], stop["hitBreakpointIds"]) == ("function breakpoint", [point["id"]])
        last = await registers(editor)
        assert (last["x19"], last["x20"]) == (47, spaces.shared)
        before = await editor.move("reverseContinue", threadId=1)
        assert (await registers(editor))["x19"] == 46
        assert before["icount"] < stop["icount"]
        await editor.move("stepIn", threadId=1, granularity="instruction")
        read = await editor.ask("readMemory", memoryReference=hex(spaces.shared), count=8)
        assert base64.b64decode(read["data"]) == (46).to_bytes(8, "little")
        await editor.move("stepBack", threadId=1, granularity="instruction")
        assert (await frames(editor))[0]["name"] == "first_write"
        await editor.ask("setFunctionBreakpoints", breakpoints=[])

        # What the other space has at that address is not this one's.
        await watch(editor, f"*(unsigned long *) {spaces.shared:#x}")
        stop = await editor.move("reverseContinue", threadId=1)
        assert stop["text"].split(" -> ")[1] == f"{45:#018x}"
        assert (await registers(editor))["x19"] == 45
        assert await editor.ask("disconnect") == {}
