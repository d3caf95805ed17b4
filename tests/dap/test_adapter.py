"""``rrdbg dap`` through the whole protocol, by a client of somebody else's."""

from __future__ import annotations

import asyncio
import base64
import shutil
import signal
from pathlib import Path

import pytest

from rrdbg.model.timeline.position import Position
from tests.dap.editor import Editor, Message, editing
from tests.guests.build import GCC, SOURCES, run_tool
from tests.processes import children, qemus_of

SOURCE = Path(__file__).parents[1] / "guests" / "heapbug" / "heapbug.c"
BUG = 45
"""The line of heapbug.c that writes too far."""


@pytest.fixture(scope="module")
def heapbug(tmp_path_factory: pytest.TempPathFactory, heapbug: Path) -> Path:
    """A copy of the recording of heapbug, in which tests travel."""
    return Path(shutil.copytree(heapbug, tmp_path_factory.mktemp("dap") / "heapbug"))


async def place(editor: Editor) -> Message:
    """The innermost frame."""
    frames = (await editor.ask("stackTrace", threadId=1, levels=1))["stackFrames"]
    assert isinstance(frames, list)
    return dict(frames[0])


async def parts(editor: Editor, parent: Message, **words: int) -> list[Message]:
    """The parts of a scope or a variable."""
    told = await editor.ask("variables", variablesReference=parent["variablesReference"], **words)
    return list(told["variables"])


async def code(editor: Editor, address: str, offset: int, count: int) -> list[Message]:
    """Instructions near an address."""
    told = await editor.ask("disassemble", memoryReference=address, instructionOffset=offset, instructionCount=count)
    return list(told["instructions"])


def at(stop: Message) -> Position:
    return Position(stop["icount"], stop["phase"])


async def test_a_session(heapbug: Path, tmp_path: Path) -> None:
    async with editing(tmp_path, str(heapbug)) as editor:
        capabilities = await editor.start()
        for wanted in (
            "StepBack", "DataBreakpoints", "GotoTargetsRequest", "RestartRequest", "InstructionBreakpoints",
            "LogPoints", "DisassembleRequest", "ReadMemoryRequest", "CancelRequest", "SteppingGranularity",
            "ConditionalBreakpoints",
        ):  # fmt: skip
            assert capabilities[f"supports{wanted}"] is True
        stop = await editor.move("configurationDone")
        assert (stop["reason"], stop["percent"]) == ("entry", 100.0)
        await _breakpoints(editor)
        await _variables(editor)
        await _data(editor)
        await _places(editor)
        await _machine(editor)
        await _questions(editor)
        await _console(editor)
        await _what_if(editor)
        await _mistakes(editor)
        await editor.ask("disconnect")
        assert await asyncio.wait_for(editor.process.wait(), 60) == 0


async def _breakpoints(editor: Editor) -> None:
    source = {"path": str(SOURCE)}
    told = await editor.ask(
        "setBreakpoints",
        source=source,
        breakpoints=[{"line": BUG, "condition": "task->log_used == 32"}, {"line": 9999}],
    )
    bug, nowhere = told["breakpoints"]
    assert (bug["verified"], bug["line"]) == (True, BUG)
    assert nowhere["verified"] is False
    stop = await editor.move("reverseContinue", threadId=1)
    assert (stop["reason"], stop["hitBreakpointIds"]) == ("breakpoint", [bug["id"]])
    frame = await place(editor)
    assert (frame["name"], frame["line"], frame["source"]["name"]) == ("log_append", BUG, "heapbug.c")
    assert (await editor.move("reverseContinue", threadId=1))["description"] == "Start of the recording"
    await editor.move("rrdbg/seek", position="70%")
    again = await editor.move("continue", threadId=1)
    assert at(again) == at(stop)
    told = await editor.ask("setBreakpoints", source=source, breakpoints=[{"line": BUG, "condition": "no_such == 1"}])
    assert told["breakpoints"][0]["verified"] is False
    assert "no_such" in told["breakpoints"][0]["message"]
    await editor.ask("setBreakpoints", source=source, breakpoints=[])

    (panics,) = (await editor.ask("setFunctionBreakpoints", breakpoints=[{"name": "panic_bad_magic"}]))["breakpoints"]
    stop = await editor.move("continue", threadId=1)
    assert (stop["reason"], stop["hitBreakpointIds"]) == ("function breakpoint", [panics["id"]])
    await editor.ask("setFunctionBreakpoints", breakpoints=[])
    await _restarted(editor, stop)
    before = await editor.move("rrdbg/reverseStepOut", threadId=1)
    assert (await place(editor))["name"] == "schedule"
    assert at(before) < at(stop)
    inside = await editor.move("stepIn", threadId=1)
    assert (await place(editor))["name"] == "panic_bad_magic"
    assert at(inside) <= at(stop)
    await editor.move("rrdbg/reverseStepIn", threadId=1)
    assert (await place(editor))["name"] == "schedule"
    assert (await editor.move("continue", threadId=1))["description"] == "End of the recording"
    stack = await editor.ask("stackTrace", threadId=1, startFrame=1, levels=2)
    assert len(stack["stackFrames"]) == 2
    assert "panic_bad_magic" in {frame["name"] for frame in (await editor.ask("stackTrace", threadId=1))["stackFrames"]}


async def _restarted(editor: Editor, stop: Message) -> None:
    """A frame begins again at its function's first instruction, which is before where a breakpoint on it stops."""
    begun: list[Position] = []
    for level, name in enumerate(("panic_bad_magic", "schedule")):
        frame = (await editor.ask("stackTrace", threadId=1))["stackFrames"][level]
        assert frame["name"] == name
        begun.append(at(await editor.move("restartFrame", frameId=frame["id"])))
        said = await editor.ask("evaluate", expression=f"print/x (long)&{name}", context="repl")
        assert (await place(editor))["instructionPointerReference"] == f"0x{int(said['result'].split()[-1], 16):016x}"
        await editor.move("rrdbg/seek", position=str(at(stop)))
    assert begun[1] < begun[0] <= at(stop)


async def _variables(editor: Editor) -> None:
    await editor.ask("setBreakpoints", source={"path": str(SOURCE)}, breakpoints=[{"line": BUG}])
    await editor.move("reverseContinue", threadId=1)
    frame = await place(editor)
    scopes = (await editor.ask("scopes", frameId=frame["id"]))["scopes"]
    assert [scope["name"] for scope in scopes] == ["Locals", "Registers"]
    variables = await parts(editor, scopes[0])
    named = {variable["name"]: variable for variable in variables}
    assert set(named) == {"task", "text"}
    members = await parts(editor, named["task"])
    assert "log_used" in {member["name"] for member in members}
    used = (await editor.ask("evaluate", expression="task->log_used", frameId=frame["id"], context="watch"))["result"]
    assert used == next(member["value"] for member in members if member["name"] == "log_used")
    (log,) = [member for member in members if member["name"] == "log"]
    letters = (await editor.ask("variables", variablesReference=log["variablesReference"], start=2, count=3))[
        "variables"
    ]
    assert [letter["name"] for letter in letters] == ["2", "3", "4"]
    assert [letter["evaluateName"] for letter in letters] == [f"task->log[{number}]" for number in (2, 3, 4)]
    await _members(editor, frame, named["task"], log)
    registers = await parts(editor, scopes[1])
    (pc,) = [register["value"] for register in registers if register["name"] == "rip"]
    assert int(pc, 16) == int(frame["instructionPointerReference"], 16)
    assert "syntax error" in await editor.refused("evaluate", expression="task->log_used +", context="watch")
    await editor.ask("setBreakpoints", source={"path": str(SOURCE)}, breakpoints=[])
    info = await editor.ask(
        "dataBreakpointInfo", variablesReference=named["task"]["variablesReference"], name="log_used"
    )
    assert info["description"].startswith("log_used (8 bytes")
    await editor.move("stepBack", threadId=1)
    assert "moved since" in await editor.refused("scopes", frameId=frame["id"])
    assert "moved since" in await editor.refused("variables", variablesReference=99)


async def _members(editor: Editor, frame: Message, task: Message, log: Message) -> None:
    """A member is asked for again by the expression that it has, and watched by its name in what it is a part of."""
    whole = await editor.ask("evaluate", expression="tasks", frameId=frame["id"], context="watch")
    third = (await parts(editor, whole, start=3, count=1))[0]
    assert (third["name"], third["evaluateName"]) == ("3", "tasks[3]")
    named = {member["name"]: member for member in await parts(editor, third)}
    assert named["magic"]["evaluateName"] == "tasks[3].magic"
    again = await editor.ask("evaluate", expression="tasks[3].magic", frameId=frame["id"], context="watch")
    assert again["result"] == named["magic"]["value"]

    async def watched(name: str, parent: Message | None = None, **words: int) -> str:
        reference = {} if parent is None else {"variablesReference": parent["variablesReference"]}
        return str((await editor.ask("dataBreakpointInfo", name=name, **reference, **words))["dataId"])

    magic = await watched("tasks[3].magic")
    assert await watched("magic", third) == magic
    assert await watched("3.magic", whole) == magic
    assert await watched("tasks[3].magic", task) == magic, "a whole expression, as some editors send it"
    letter = await watched("task->log[3]", frameId=frame["id"])
    assert letter.endswith(":1")
    assert await watched("3", log) == await watched("log[3]", task) == letter
    for wrong in ("no_such", "no_such.magic", "99999"):
        assert await watched(wrong, third) == "None", wrong


async def _data(editor: Editor) -> None:
    await editor.move("rrdbg/seek", position="end")
    info = await editor.ask("dataBreakpointInfo", name="tasks[3].magic")
    assert info["accessTypes"] == ["write", "read", "readWrite"]
    (point,) = (await editor.ask("setDataBreakpoints", breakpoints=[{"dataId": info["dataId"]}]))["breakpoints"]
    stop = await editor.move("reverseContinue", threadId=1)
    assert (stop["reason"], stop["hitBreakpointIds"]) == ("data breakpoint", [point["id"]])
    assert stop["text"] == "0x5461736b4d616769 -> 0x5461736b4d616700"
    assert (await place(editor))["line"] == BUG
    first = await editor.move("reverseContinue", threadId=1)
    assert first["text"] == "0x0000000000000000 -> 0x5461736b4d616769"
    made = await editor.move("continue", threadId=1)
    assert (made["reason"], made["text"]) == ("data breakpoint", first["text"])
    following = await editor.move("continue", threadId=1)
    assert (following["text"], at(following)) == (stop["text"], Position(stop["icount"] + 1))
    await editor.ask("setDataBreakpoints", breakpoints=[])
    await editor.move("rrdbg/seek", position="end")
    body = await editor.ask("rrdbg/last", expression="tasks[3].magic")
    assert (body["before"], body["after"]) == ("6080267876623804265", "6080267876623804160")
    assert at(await editor.stop()) == at(stop) == at(body["position"])
    nothing = await editor.ask("dataBreakpointInfo", name="nothing_at_all")
    assert nothing["dataId"] is None
    assert "nothing_at_all" in nothing["description"]


async def _places(editor: Editor) -> None:
    here = at(await editor.move("rrdbg/seek", position="80%"))
    assert (await editor.ask("threads"))["threads"] == [{"id": 1, "name": f"CPU at {here} (80.0%)"}]
    marks = (await editor.ask("rrdbg/bookmarks", name="here", note="look"))["bookmarks"]
    assert [(mark["name"], at(mark["position"]), mark["note"]) for mark in marks] == [("here", here, "look")]
    targets = (await editor.ask("gotoTargets", source={"path": str(SOURCE)}, line=BUG))["targets"]
    marked = [target["label"] for target in targets if target["label"].startswith("@here")]
    assert len(marked) == 1
    last = at(await editor.move("goto", threadId=1, targetId=targets[0]["id"]))
    assert (await place(editor))["line"] == BUG
    assert last < here
    targets = (await editor.ask("gotoTargets", source={"path": str(SOURCE)}, line=BUG))["targets"]
    (again,) = [target["id"] for target in targets if target["label"].startswith("@here")]
    assert at(await editor.move("goto", threadId=1, targetId=again)) == here
    targets = (await editor.ask("gotoTargets", source={"path": str(SOURCE)}, line=BUG))["targets"]
    seen = (await editor.ask("rrdbg/events", limit=3, last=True))["events"]
    labels = {target["label"]: target["id"] for target in targets}
    near = [f"{event['kind']} at {event['position']['text']}: " for event in seen]
    assert all(any(label.startswith(start) for label in labels) for start in near), (near, labels)
    printed = [label for label in labels if label.startswith("console at ")]
    assert len(printed) >= 3
    last = at(await editor.move("goto", threadId=1, targetId=labels[printed[2]]))
    assert printed[2].startswith(f"console at {last}: ")
    assert last < here
    await editor.move("rrdbg/seek", position="@here")
    assert at(await editor.move("restart")) == Position(0)
    assert at(await editor.move("rrdbg/seek", position="@here")) == here
    assert (await editor.ask("rrdbg/when"))["icount"] == here.icount


async def _machine(editor: Editor) -> None:
    pc = (await place(editor))["instructionPointerReference"]
    lines = (await editor.ask("disassemble", memoryReference=pc, instructionOffset=-4, instructionCount=8))[
        "instructions"
    ]
    assert len(lines) == 8
    assert int(lines[4]["address"], 16) == int(pc, 16)
    for line in lines[4:]:
        assert "presentationHint" not in line
    ahead = (await editor.ask("disassemble", memoryReference=pc, instructionOffset=2, instructionCount=2))[
        "instructions"
    ]
    assert [line["address"] for line in ahead] == [line["address"] for line in lines[6:]]
    info = await editor.ask("evaluate", expression="&tasks[3].magic", context="watch")
    memory = await editor.ask("readMemory", memoryReference=info["memoryReference"], count=8)
    assert len(base64.b64decode(memory["data"])) == 8
    (point,) = (
        await editor.ask("setInstructionBreakpoints", breakpoints=[{"instructionReference": lines[5]["address"]}])
    )["breakpoints"]
    assert point["verified"]
    stop = await editor.move("reverseContinue", threadId=1)
    if stop["reason"] != "step":
        assert stop["reason"] == "instruction breakpoint"
        assert (await place(editor))["instructionPointerReference"] == point["instructionReference"]
    await editor.ask("setInstructionBreakpoints", breakpoints=[])


async def _questions(editor: Editor) -> None:
    whole = await editor.ask("rrdbg/writes", expression="tasks[3].magic")
    assert whole["complete"] is True
    assert [found["fields"]["new"] for found in whole["found"]] == ["0x5461736b4d616769", "0x5461736b4d616700"]
    targets = (await editor.ask("gotoTargets", source={"path": str(SOURCE)}, line=BUG))["targets"]
    hits = [target["id"] for target in targets if target["label"].endswith("found by the last query")]
    places = [at(found["position"]) for found in whole["found"]]
    assert len(hits) == len(places) == 2
    assert at(await editor.move("goto", threadId=1, targetId=hits[1])) == places[1]
    calls = await editor.ask("rrdbg/calls", function="log_append", limit=2)
    assert (len(calls["found"]), calls["complete"]) == (2, False)
    await editor.move("rrdbg/seek", position="end")
    hops = await editor.ask("rrdbg/origin", expression="tasks[3].magic")
    assert hops["messages"]
    assert (await editor.ask("rrdbg/timeline"))["bookmarks"]
    page = (await editor.ask("rrdbg/timeline", form="html"))["page"]
    assert page.startswith("<!DOCTYPE html>")
    seen = (await editor.ask("rrdbg/events", kind="interrupt", limit=3))["events"]
    assert [event["kind"] for event in seen] == ["interrupt"] * 3
    (latest,) = (await editor.ask("rrdbg/events", kind="interrupt", limit=1, last=True))["events"]
    assert latest["position"]["icount"] > seen[-1]["position"]["icount"]
    assert "forms json and html" in await editor.refused("rrdbg/timeline", form="png")
    await _logpoints(editor)


async def _logpoints(editor: Editor) -> None:
    """What one prints is printed of all of time, though the client asks for something else meanwhile."""
    line = 'tprintf heapbug.c:43,"used %lu of %s, 100%%",task->log_used,text'
    told = (await editor.ask("evaluate", expression=line, context="repl"))["result"].splitlines()
    wanted = [text.split(None, 1)[1] for text in told[:-1]]
    assert len(wanted) > 5
    editor.printed()
    source = {"path": str(SOURCE)}
    points = [{"line": 43, "logMessage": "used {task->log_used} of {text}, 100%"}]
    (point,) = (await editor.ask("setBreakpoints", source=source, breakpoints=points))["breakpoints"]
    assert point["verified"]
    await editor.ask("rrdbg/when")
    printed = [await editor.event("output") for _ in wanted]
    assert [event["output"].rstrip("\n") for event in printed] == wanted
    assert {event["line"] for event in printed} == {43}
    # It has printed, and does not do so again.
    await editor.ask("setBreakpoints", source=source, breakpoints=[*points, {"line": BUG}])
    await editor.ask("rrdbg/when")
    await editor.ask("setBreakpoints", source=source, breakpoints=[])
    assert "used" not in editor.printed()


async def _console(editor: Editor) -> None:
    answer = await editor.ask("evaluate", expression="print sizeof(tasks[0])", context="repl")
    assert answer["result"].startswith("$")
    answer = await editor.ask("evaluate", expression="seek 50%", context="repl")
    stop = await editor.stop()
    assert (stop["reason"], stop["percent"]) == ("goto", 50.0)
    await editor.ask("evaluate", expression="stepi", context="repl")
    assert at(await editor.stop()) == Position(stop["icount"] + 1)
    assert "target" in await editor.refused("evaluate", expression="target remote :1", context="repl")
    targets = (await editor.ask("completions", text="info sna", column=9))["targets"]
    assert "info snapshots" in {target["label"] for target in targets}


async def _what_if(editor: Editor) -> None:
    """What can be changed, for as long as it is a copy that is looked at."""
    await editor.move("rrdbg/seek", position="end")
    await editor.ask("setBreakpoints", source={"path": str(SOURCE)}, breakpoints=[{"line": BUG}])
    here = await editor.move("reverseContinue", threadId=1)
    await editor.ask("setBreakpoints", source={"path": str(SOURCE)}, breakpoints=[])

    async def scopes() -> list[Message]:
        frame = await place(editor)
        return list((await editor.ask("scopes", frameId=frame["id"]))["scopes"])

    async def used(words: str = "task->log_used") -> str:
        return str((await editor.ask("evaluate", expression=words, context="watch"))["result"])

    before = await used()
    (task,) = [part for part in await parts(editor, (await scopes())[0]) if part["name"] == "task"]
    change = {"variablesReference": task["variablesReference"], "name": "log_used", "value": "7"}
    assert "'what-if on'" in await editor.refused("setVariable", **change)
    watched = {"expression": "task->log_used", "value": "8"}
    assert "'what-if on'" in await editor.refused("setExpression", **watched)
    await editor.ask("evaluate", expression="what-if on", context="repl")
    assert (await editor.event("capabilities"))["capabilities"] == {"supportsStepBack": False}
    await editor.stop()
    (task,) = [part for part in await parts(editor, (await scopes())[0]) if part["name"] == "task"]
    made = await editor.ask("setVariable", **change | {"variablesReference": task["variablesReference"]})
    assert (made["value"], await used()) == ("7", "7")
    assert ((await editor.ask("setExpression", **watched))["value"], await used()) == ("8", "8")
    place_of = (await editor.ask("evaluate", expression="&task->log_used", context="watch"))["memoryReference"]
    told = await editor.ask("readMemory", memoryReference=place_of, count=8)
    assert base64.b64decode(told["data"]) == (8).to_bytes(8, "little")
    registers = (await scopes())[1]
    assert (await editor.ask("setVariable", **registers_of(registers, "rax", "0x1234")))["value"] == "4660"
    assert {"rax": "0x1234"}.items() <= {part["name"]: part["value"] for part in await parts(editor, registers)}.items()
    stop = await editor.move("stepBack", threadId=1)
    assert "time runs forward only" in stop["description"]
    await editor.ask("evaluate", expression="what-if off", context="repl")
    assert (await editor.event("capabilities"))["capabilities"] == {"supportsStepBack": True}
    assert at(await editor.stop()) == at(here)
    assert await used() == before


def registers_of(scope: Message, name: str, value: str) -> dict[str, object]:
    return {"variablesReference": scope["variablesReference"], "name": name, "value": value}


async def _mistakes(editor: Editor) -> None:
    for command in ("threads", "rrdbg/bookmarks", "rrdbg/timeline"):
        assert await editor.answered(editor.send_null(command))
    assert "no request" in await editor.refused("no/such/request")
    assert "position" in await editor.refused("rrdbg/seek")
    assert "nowhere" in await editor.refused("rrdbg/seek", position="nowhere")
    assert "number" in await editor.refused("rrdbg/calls", function="log_append", limit="many")
    # GDB refuses after the client has been told that the guest goes: it is told that it stands.
    await editor.move("rrdbg/seek", position="start")
    stop = await editor.move("rrdbg/reverseStepOut", threadId=1)
    assert (at(stop), "frame" in stop["description"]) == (Position(0), True)
    # The way out of a BIOS is long; GDB has no part in it, and is not what is to be interrupted.
    await editor.ask("stepOut", threadId=1)
    await editor.ask("pause", threadId=1)
    stop = await editor.stop()
    assert at(stop) == Position(0), stop  # the reason is GDB's where it had not yet been left out


async def test_in_a_folder_with_a_space(heapbug: Path, tmp_path: Path) -> None:
    """And with a comma: both mean something to GDB."""
    folder = tmp_path / "my work, here"
    for part in ("heapbug", "machine"):
        shutil.copytree(SOURCES / part, folder / part)
    elf, source = folder / "heapbug.elf", folder / "heapbug" / "heapbug.c"
    parts = sorted(path for path in folder.glob("*/*") if path.suffix in (".c", ".S"))
    run_tool(*GCC, "-o", str(elf), *(str(path.relative_to(folder)) for path in parts), folder=folder)
    async with editing(tmp_path, str(heapbug), "--symbols", str(elf)) as editor:
        await editor.begin()
        points = [
            {"line": BUG, "condition": "task->log_used == 32"},
            {"line": 43, "logMessage": "used {task->log_used}"},
        ]
        told = await editor.ask("setBreakpoints", source={"path": str(source)}, breakpoints=points)
        assert [point["verified"] for point in told["breakpoints"]] == [True, True]
        printed = await editor.event("output")
        while "used" not in printed["output"]:
            printed = await editor.event("output")
        assert (printed["source"]["path"], printed["line"]) == (str(source), 43)
        assert (await editor.move("reverseContinue", threadId=1))["reason"] == "breakpoint"
        frame = await place(editor)
        assert (frame["line"], frame["source"]["path"]) == (BUG, str(source))
        target = (await editor.ask("gotoTargets", source={"path": str(source)}, line=43))["targets"][0]
        await editor.move("goto", threadId=1, targetId=target["id"])
        assert (await place(editor))["line"] == 43


async def test_before_anything_is_open(tmp_path: Path) -> None:
    async with editing(tmp_path) as editor:
        assert "No recording is open" in await editor.refused("threads")
        assert "There is no recording nowhere" in await editor.refused("launch", recording="nowhere")
        # What is no argument of a request that is answered at once is refused like that of any other.
        for wrong in (5, ["rrdbg-1"]):
            response = await editor.response(editor.send_anything("cancel", progressId=wrong))
            assert not response["success"]
        editor.stream.write(b"hello")
        assert await asyncio.wait_for(editor.process.wait(), 60) == 1


async def test_long_work_is_shown_and_ended(workload: Path, tmp_path: Path) -> None:
    async with editing(tmp_path, str(workload)) as editor:
        await editor.begin()
        await editor.ask("setFunctionBreakpoints", breakpoints=[{"name": "twist", "condition": "$rdi == 0x123456789"}])
        await editor.ask("reverseContinue", threadId=1)
        started = await editor.event("progressStart")
        assert started["cancellable"] is True
        await editor.ask("cancel", progressId=started["progressId"])
        stop = await editor.stop()
        assert (stop["reason"], stop["percent"]) == ("pause", 100.0)
        assert (await editor.event("progressEnd"))["progressId"] == started["progressId"]
        await editor.ask("reverseContinue", threadId=1)
        await editor.event("progressStart")
        await editor.ask("pause", threadId=1)
        assert (await editor.stop())["reason"] == "pause"
        await editor.ask("setFunctionBreakpoints", breakpoints=[])
        # It may be answered before there is a progress to show.
        seeking = editor.send("rrdbg/writes", expression="counter")
        await editor.ask("cancel", requestId=seeking)
        assert (await editor.response(seeking))["message"] == "cancelled"
        assert (await editor.move("rrdbg/seek", position="1000"))["icount"] == 1000


@pytest.mark.parametrize("number", [signal.SIGTERM, None])
async def test_nothing_is_left(heapbug: Path, tmp_path: Path, number: signal.Signals | None) -> None:
    """After a signal, and where the editor just goes away."""
    async with editing(tmp_path, str(heapbug)) as editor:
        await editor.begin()
        pid = editor.process.pid
        started = children(pid, "gdb") + qemus_of(pid)
        assert len(started) >= 2
        if number:
            editor.process.send_signal(number)
        else:
            editor.stream.hang_up()
        await asyncio.wait_for(editor.process.wait(), 60)
        assert not any(Path(f"/proc/{own}").exists() for own in started)
