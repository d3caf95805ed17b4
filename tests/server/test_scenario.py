"""QEMU's own test of reverse debugging, against our server, on three architectures.

QEMU's goes: ten steps, ten back, to the end, breakpoints on all ten, and back to the last of them. (Its x86 variant is
skipped there as flaky.)
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.model.timeline.position import START, Position
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.foreign import build_foreign
from tests.server.conftest import connect, move, serving

STEPPED = b"T05thread:01;"


@pytest.fixture(scope="module", params=["x86_64", "aarch64", "riscv64"])
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of a guest of each architecture, whose first instructions are executed first."""
    if request.param == "x86_64":
        return Path(request.getfixturevalue("workload"))
    with failing_clearly(request.param):
        guest = build_foreign(request.param, GUEST_DIR)
    directory = tmp_path_factory.mktemp("foreign") / request.param
    return asyncio.run(Recorder(RecordRequest(tuple(guest.command), directory)).run()).directory


async def test_qemus_scenario(recording: Path, tmp_path: Path) -> None:
    async with serving(recording, tmp_path) as (replay, address):
        client = await connect(address)
        features = await client.exchange("qSupported:swbreak-;hwbreak-")
        assert b"ReverseStep+" in features
        assert b"ReverseContinue+" in features
        places = []
        for _ in range(10):
            places.append(await replay.pc())
            assert await move(client, "s") == STEPPED
        for place in reversed(places):
            assert await move(client, "bs") == STEPPED
            assert await replay.pc() == place
        assert replay.position == START
        for place in places:
            assert await replay.pc() == place
            assert await move(client, "s") == STEPPED
        assert await move(client, "c") == b"T05thread:01;replaylog:end;"
        assert replay.position == replay.timeline.end
        for place in places:
            assert await client.exchange(f"Z1,{place:x},1") == b"OK"
        hits = []
        while await move(client, "bc") == STEPPED:
            hits.append((replay.position, await replay.pc()))
        assert hits == sorted(hits, reverse=True)
        # x86's firmware comes by some of them again.
        assert {pc for _, pc in hits} == set(places)
        assert hits[-10:] == [(Position(number), places[number]) for number in reversed(range(10))]
        assert await move(client, "bc") == b"T05thread:01;replaylog:begin;"
        await client.close()
