"""What ``rrdbg mcp`` promises whoever asks it, and what it does not let him do."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from mcp.types import TextResourceContents

from rrdbg.errors import UsageError
from rrdbg.frontends.shared.checked import checked
from tests.cli.conftest import Cli
from tests.mcp.agent import Agent, agent, position_in
from tests.oracle import Oracle
from tests.processes import children, qemus_in


@pytest.fixture(scope="module")
def heapbug(tmp_path_factory: pytest.TempPathFactory, heapbug: Path) -> Path:
    """A copy of the recording of heapbug, in which tests travel."""
    return Path(shutil.copytree(heapbug, tmp_path_factory.mktemp("mcp") / "heapbug"))


def positions(listing: str) -> list[int]:
    """The instruction counts that the lines of an answer begin with."""
    return [int(line.split()[0].replace(",", "")) for line in listing.splitlines() if line[:1].isdigit()]


def test_what_is_offered_and_answered(heapbug: Path, tmp_path: Path) -> None:
    async def check() -> None:
        async with agent(tmp_path, [heapbug]) as asking:
            await _offered(asking)
            await _searched(asking)
            await _refused(asking, heapbug)
            await _resources(asking)

    asyncio.run(check())


async def _offered(asking: Agent) -> None:
    tools = (await asking.client.list_tools()).tools
    assert len(tools) == 14
    for tool in tools:
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is (tool.name != "bookmark")
        assert tool.annotations.destructive_hint is False
    # An agent reads them all before it begins.
    assert sum(len(tool.model_dump_json()) for tool in tools) < 16_000


async def _searched(asking: Agent) -> None:
    """Each list says what was looked at, and goes on from where it was cut."""
    whole = await asking.ask("writes", expression="task_count")
    assert whole.splitlines()[-1].endswith(" wholly.")
    everywhere = await asking.ask("trace", location="log_append", format="%s", expressions=["text"], limit=200)
    all_of_them = positions(everywhere)
    assert len(all_of_them) > 5
    assert "NOT searched" not in everywhere
    first = await asking.ask("trace", location="log_append", format="%s", expressions=["text"], limit=3)
    assert positions(first) == all_of_them[:3]
    (again,) = [word for word in first.split() if word.startswith("start=")]
    rest = await asking.ask(
        "trace", location="log_append", format="%s", expressions=["text"], start=again[6:].rstrip("."), limit=200
    )
    assert positions(rest) == all_of_them[3:]
    assert (await asking.ask("calls", function="log_append", limit=200)).count("log_append(") == len(all_of_them)

    first_write = await asking.ask("first_write", expression="tasks[3].magic")
    early = position_in(first_write)
    none = await asking.ask("last_write", expression="tasks[3].magic", at=early)
    assert none.endswith(f"searched: 0 to {early} wholly; 0 writes.")
    nowhere = await asking.ask("find", location="panic_bad_magic", at="50%")
    assert "0 hits" in nowhere
    ahead = await asking.ask("find", location="panic_bad_magic", at="50%", direction="forward")
    back = await asking.ask("find", location="panic_bad_magic", at="end")
    assert position_in(ahead) == position_in(back)
    # Nothing depends on what was asked before.
    here = await asking.ask("state", at=position_in(back), frames=0)
    stepped = await asking.ask("step", verb="stepi", at=position_in(back), count=3)
    assert await asking.ask("state", at=position_in(back), frames=0) == here
    assert position_in(await asking.ask("step", verb="reverse-stepi", at=position_in(stepped), count=3)) == position_in(
        back
    )
    assert (
        position_in(await asking.ask("state", at=f"{position_in(back)}-10"))
        == f"{positions(position_in(back))[0] - 10:,}"
    )
    turned = await asking.ask("bisect", condition="tasks[3].magic != 0x5461736b4d616769", start=f"{early}+1000")
    assert position_in(turned) == position_in(await asking.ask("last_write", expression="tasks[3].magic"))


async def _refused(asking: Agent, recording: Path) -> None:
    assert "There is no recording" in await asking.refused("state", recording=str(recording))
    assert "There is no recording" in await asking.refused("state", recording="../heapbug")
    assert "no cursor here" in await asking.refused("state", at="-100")
    assert "outside the recording" in await asking.refused("state", at="end+1")
    assert "cannot be used here" in await asking.refused("state", expressions=['$_shell("id")'])
    assert "cannot be used here" in await asking.refused("find", location="print", at="end", condition='$_shell("id")')
    assert "on one line" in await asking.refused("find", location="print\nshell id", at="end")
    assert "at most" in (await asking.refused("state", expressions=["1"] * 21)).lower()
    told = await asking.ask("state", expressions=["task_count = 5", "tasks", "print_char('x')", "no_such_thing"])
    assert "no_such_thing: No symbol" in told
    assert "print_char('x') = " not in told
    assert "task_count = 5" not in (await asking.ask("state", expressions=["task_count"]))
    assert "limit" in await asking.refused("writes", expression="tasks", limit=100_000)
    told = await asking.refused("bisect", condition="task_count != -1")
    assert "earlier start" in told
    assert "--" not in told, "a command's words are none of the tool's"


async def _resources(asking: Agent) -> None:
    await asking.ask("bookmark", name="oops", note="it says\nso\x1b[2J", at="console:PANIC")
    assert "is at" in await asking.refused("bookmark", name="oops", note="", at="50%")
    assert "@oops" in await asking.ask("describe")
    assert "symbols: " in await asking.ask("describe")
    contents = {}
    for name in ("console", "bookmarks", "timeline.json"):
        (content,) = (await asking.client.read_resource(f"rrdbg://heapbug/{name}")).contents
        assert isinstance(content, TextResourceContents)
        contents[name] = content.text
    assert "PANIC" in contents["console"]
    assert "it says\\nso\\x1b[2J" in contents["bookmarks"]
    assert "oops" in json.loads(contents["timeline.json"])["bookmarks"]
    prompt = await asking.client.get_prompt("root-cause", {"recording": "heapbug"})
    assert "last_write" in str(prompt.messages[0].content)


def test_a_question_that_is_taken_back_ends_its_work(workload: Path, tmp_path: Path, busy: Oracle) -> None:
    """The next one is answered, and what was started for the first is gone."""

    async def check() -> None:
        async with agent(tmp_path, [workload], "--jobs", "1") as asking:
            await asking.ask("describe")
            heard = asyncio.Event()

            async def told(progress: float, total: float | None, message: str | None) -> None:
                assert total == 1.0
                assert 0 < progress <= 1
                heard.set()

            wanted = {"location": "twist", "at": "end", "condition": "$rdi == 0x1234567812345678"}
            long = asyncio.create_task(asking.client.call_tool("find", wanted, progress_callback=told))
            await asyncio.wait_for(heard.wait(), 60)
            assert not long.done()
            long.cancel()
            with pytest.raises(asyncio.CancelledError):
                await long
            middle = busy[len(busy) // 2]
            state = await asyncio.wait_for(asking.ask("state", at=str(middle.position), registers=True), 60)
            assert position_in(state) == str(middle.position)
            assert f"$rip = {middle.pc:#x}" in state

    asyncio.run(check())
    assert not qemus_in(tmp_path)


def test_a_recording_from_elsewhere_stays_confined(heapbug: Path, tmp_path: Path) -> None:
    """No tool takes it for the user's own, and no file of the host is read for it."""

    async def check() -> None:
        async with agent(tmp_path, [heapbug], state=tmp_path / "state") as asking:
            told = await asking.ask("last_write", expression="tasks[3].magic")
            assert "source lines are not shown" in told
            assert "the bug" not in told
            assert "origin: made elsewhere" in await asking.ask("describe")

    asyncio.run(check())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_all_it_has_started(heapbug: Path, tmp_path: Path, number: signal.Signals) -> None:
    server = _start(tmp_path, [str(heapbug)])
    assert server.stdin
    assert server.stdout
    for message in _handshake("state", {"expressions": ["task_count"]}):
        server.stdin.write(json.dumps(message) + "\n")
    server.stdin.flush()
    while json.loads(server.stdout.readline()).get("id") != 2:
        pass
    assert children(server.pid, "gdb")
    server.send_signal(number)
    assert server.wait(60) != 0
    until = time.monotonic() + 60
    while children(server.pid, "gdb") and time.monotonic() < until:
        pass
    assert not children(server.pid, "gdb")
    server.stdin.close()
    server.stdout.close()


def _start(library: Path, words: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rrdbg", "mcp", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=Cli(library).environment(XDG_STATE_HOME=os.environ["XDG_STATE_HOME"]),
    )  # fmt: skip


def _handshake(tool: str, arguments: dict[str, object]) -> list[dict[str, object]]:
    """As a client of the older protocol writes it."""
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    return [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": tool, "arguments": arguments}},
    ]


def test_the_skill_is_printed(tmp_path: Path) -> None:
    told = Cli(tmp_path)("mcp", "--skill").stdout
    assert told.startswith("---\nname: rrdbg\n")
    assert "`last_write`" in told


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x" * 1001,
        "a\nb",
        "a\x1bb",
        '$_shell("id")',
        "$ _shell + $_shell",
        "$_gdb_setting_str(1)",
        "$_exitcode",
    ],
)
def test_expressions_that_are_more(text: str) -> None:
    with pytest.raises(UsageError):
        checked(text)


def test_expressions_that_are_none_but_that() -> None:
    for text in ("task->log_used", "*(long *) $rbx", '$_streq(s->name, "dentry")', "$rax & 1", "a ? b : c"):
        assert checked(f" {text} ") == text
