"""The MI commands, as a front end uses them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rrdbg.errors import GdbError
from rrdbg.links.mi import Gdb
from rrdbg.model.timeline.position import Position
from tests.extension.conftest import SCRIPT
from tests.server.conftest import serving

PLACE = 7_300_000


async def test_answers_are_values(workload: Path, workload_guest: Path, program: str, tmp_path: Path) -> None:
    async with serving(workload, tmp_path) as (replay, address):
        gdb = await Gdb.start(program, str(workload_guest))
        try:
            await gdb.console(f"source {SCRIPT}")
            await gdb.console(f"target remote {address}")
            before = (await gdb.execute("-data-evaluate-expression $pc")).values["value"]
            values = (await gdb.execute(f"-rrdbg-seek {PLACE:,}")).values
            assert values["position"]["icount"] == str(PLACE)
            assert values["position"]["phase"] == "0"
            assert values["position"]["what_if"] == "0"
            assert values["changed"] == "1"
            assert values["results"][0]["kind"] == "stopped"
            assert values["results"][0]["stop"]["reason"] == "target"
            assert replay.position == Position(PLACE)
            assert (await gdb.execute("-data-evaluate-expression $pc")).values["value"] != before
            frame = (await gdb.execute("-stack-info-frame")).values["frame"]
            assert int(frame["addr"], 16) == await replay.pc()
            values = (await gdb.execute("-rrdbg-snapshots")).values
            assert values["changed"] == "0"
            assert values["results"][0]["snapshots"]
            assert (await gdb.execute("-rrdbg-info-timeline")).values["results"][0]["cursor"]["icount"] == str(PLACE)
            with pytest.raises(GdbError, match="is not a kind of event"):
                await gdb.execute("-rrdbg-next-event lunch")
        finally:
            await gdb.close()
