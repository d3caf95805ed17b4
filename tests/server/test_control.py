"""The control channel, spoken to in JSON lines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.replay import Replay
from rrdbg.links.layouts import layouts
from rrdbg.links.rsp import frame
from rrdbg.model.timeline.position import START, Position
from tests.server.conftest import connecting, move, serving

PLACE = 7_300_000
MANY = 5_000_000
"""Steps that take minutes."""


class Talk:
    """One channel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def hear(self) -> dict[str, Any]:
        """The next object."""
        async with asyncio.timeout(60):
            heard = json.loads(await self.reader.readline())
        assert isinstance(heard, dict)
        return heard

    def say(self, **request: object) -> None:
        """Send a request."""
        self.writer.write(json.dumps(request).encode() + b"\n")

    async def ask(self, **request: object) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Send a request; the results, and the answer."""
        self.say(**request)
        results = []
        while "position" not in (heard := await self.hear()):
            if "result" in heard:
                results.append(heard["result"])
        return results, heard


async def begun(replay: Replay) -> None:
    """Wait until a movement is under way."""
    async with asyncio.timeout(60):
        while not replay.moving:  # noqa: ASYNC110  # the engine has no event for it
            await asyncio.sleep(0)


@asynccontextmanager
async def controlling(address: str, number: int | None = None) -> AsyncIterator[Talk]:
    """A channel to the client of that ``number`` that has heard the introduction."""
    reader, writer = await asyncio.open_unix_connection(address, limit=1 << 20)
    try:
        # In pieces, as a network may cut it.
        greeting = b"rrdbg control 1" + (f" {number}" if number else "").encode() + b"\n"
        writer.write(greeting[:5])
        await writer.drain()
        writer.write(greeting[5:])
        talk = Talk(reader, writer)
        introduction = await talk.hear()
        assert introduction["rrdbg"] == 1
        assert introduction["recording"] == "served"
        yield talk
    finally:
        writer.close()


async def test_requests_and_answers(workload: Path, tmp_path: Path) -> None:
    async with serving(workload, tmp_path) as (replay, address), controlling(address) as talk:
        results, answer = await talk.ask(run=f"seek {PLACE}")
        assert [result["kind"] for result in results] == ["stopped"]
        share = Position(PLACE).percent(replay.timeline.end)
        assert results[0]["text"].startswith(f"{PLACE:,} ({share:.1f}%)")
        assert (answer["error"], answer["changed"], answer["position"]["icount"]) == ("", True, PLACE)
        assert replay.position == Position(PLACE)
        _, answer = await talk.ask(visit="+5")
        assert (answer["changed"], answer["position"]["icount"]) == (True, PLACE + 5)
        _, answer = await talk.ask(where=True)
        assert (answer["changed"], answer["position"]["text"]) == (False, f"{PLACE + 5:,}")
        results, answer = await talk.ask(run="seek 200%")
        assert results == []
        assert answer["error"].startswith("200% is outside the recording")
        for nonsense in ({"lunch": True}, {"run": 5}):
            _, answer = await talk.ask(**nonsense)
            assert answer["error"] == (
                "A request has one of the keys run, visit, symbols, task, where, stopped, prompt, watch and cancel."
            )
        (symbols,), answer = await talk.ask(symbols=True)
        assert (symbols["path"], answer["error"]) == (str(replay.recording.layout.bundled("kernel")), "")
        talk.writer.write(b"no JSON\n")
        assert (await talk.hear())["error"].startswith("A request has one of")


@pytest.fixture(autouse=True)
def _step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that many steps take long enough to be interrupted."""
    monkeypatch.setattr("rrdbg.engine.replay.WORTH_A_RUN", MANY + 1)


async def test_a_command_is_interrupted_where_it_is(workload: Path, tmp_path: Path) -> None:
    async with serving(workload, tmp_path) as (replay, address), controlling(address) as talk:
        talk.say(run=f"stepi {MANY}")
        assert "progress" in await talk.hear(), "a sign of life"
        talk.say(where=True)
        while (heard := await talk.hear()) != {"error": "The request before is not answered yet."}:
            assert "progress" in heard
        async with asyncio.timeout(60):
            while replay.position == START:  # noqa: ASYNC110  # the engine has no event for it
                await asyncio.sleep(0)
        talk.say(cancel=True)
        while "position" not in (heard := await talk.hear()):
            assert "progress" in heard
        here = replay.position
        assert 0 < here.icount < MANY
        assert (heard["error"], heard["changed"]) == (f"Interrupted at {here}.", True)
        assert heard["position"]["icount"] == here.icount
        # It goes on from there.
        _, answer = await talk.ask(run="stepi")
        assert answer["error"] == ""
        assert replay.position > here


async def test_work_that_moves_nothing_is_interrupted_too(
    workload: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(workload, tmp_path) as (replay, address), controlling(address) as talk:
        begun, prove = asyncio.Event(), replay.prove_next

        async def prove_for_ever() -> bool:
            begun.set()
            await asyncio.Event().wait()
            return True

        monkeypatch.setattr(replay, "prove_next", prove_for_ever)
        talk.say(run="verify")
        await begun.wait()
        talk.say(cancel=True)
        while "position" not in (heard := await talk.hear()):
            assert "progress" in heard
        assert heard["error"] == "Interrupted; 1 of 1 snapshots are proved sound."
        monkeypatch.setattr(replay, "prove_next", prove)
        results, answer = await talk.ask(run="verify")
        assert (results[0]["text"], answer["error"]) == ("Verified: 1 of 1 snapshots are proved sound.", "")


async def test_the_guest_has_one_master_at_a_time(workload: Path, tmp_path: Path) -> None:
    async with serving(workload, tmp_path) as (replay, address), controlling(address) as talk:
        async with connecting(address) as client:
            assert await client.exchange("qRrdbg.control") == b"1"
            await talk.ask(run=f"seek {PLACE}")
            before = await client.exchange("g")
            await talk.ask(run="what-if on")
            assert (await talk.ask(where=True))[1]["position"]["what_if"]
            await talk.ask(run="what-if off")
            assert await client.exchange("g") == before
            # A movement of the client's is not disturbed.
            client._writer.write(frame(b"qRcmd," + f"stepi {MANY}".encode().hex().encode()))
            await begun(replay)
            _, answer = await talk.ask(run="seek 5")
            assert answer["error"] == "The guest is running; stop it first."
            # But what the client does not wait for any more is.
            _, answer = await talk.ask(prompt=True)
            assert answer["error"] == ""
            here = replay.position
            assert PLACE <= here.icount < PLACE + MANY
            assert (await move(client, "s")).startswith(b"T05")
            assert replay.position > here
        # Whoever leaves without a word stops what is done for it.
        talk.say(run=f"stepi {MANY}")
        assert "progress" in await talk.hear()
    assert not replay.moving


async def test_a_monitor_command_that_gdb_has_left_is_not_answered(workload: Path, tmp_path: Path) -> None:
    """GDB takes Ctrl-C as its own then, tells nobody, and takes what comes next to be the answer to its next packet."""
    async with serving(workload, tmp_path) as (replay, address), connecting(address) as client:
        client._writer.write(frame(b"qRcmd," + f"stepi {MANY}".encode().hex().encode()))
        await begun(replay)
        client._writer.write(b"-")  # an answer takes long, so GDB asks for it again: there is none yet
        registers = await client.exchange("g")
        machine = await replay.machine()
        layout = layouts(machine.description, machine.register_file)[""]
        assert registers == layout.shown(await machine.register_packet(), await machine.code_segment())
        assert not replay.moving
