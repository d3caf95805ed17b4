"""GDB with the extension at a guest that it shares with others: it looks again when one of them has moved that."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rrdbg.links.mi import Gdb
from tests.extension.conftest import SCRIPT
from tests.oracle import Oracle
from tests.server.conftest import connecting
from tests.server.test_shared import meeting


async def test_gdb_is_told_at_its_prompt(workload: Path, busy: Oracle, tmp_path: Path, program: str) -> None:
    async with meeting(workload, tmp_path) as (_, address), connecting(address) as first:
        await first.monitor(f"seek {busy[10].position}")
        gdb = await Gdb.start(program)
        try:
            assert await gdb.value('$_gdb_setting("remotetimeout")') == "60"
            await gdb.console(f"source {SCRIPT}")
            await gdb.console(f"target remote {address}")
            assert str(busy[10].position) in await gdb.console("rrdbg when")
            assert int(await gdb.value("(unsigned long)$pc")) == busy[10].pc
            for place in (200, 100):
                await first.monitor(f"seek {busy[place].position}")
                async with asyncio.timeout(60):
                    while int(await gdb.value("(unsigned long)$pc")) != busy[place].pc:  # noqa: ASYNC110  # GDB tells nobody
                        await asyncio.sleep(0.05)
                assert int(await gdb.value("(unsigned long)$rsp")) == busy.registers(place)["rsp"]
                # What GDB wants from there is done from there, and is its own doing.
                assert "another client" not in await gdb.console("stepi")
                assert int(await gdb.value("(unsigned long)$pc")) == busy[place + 1].pc
        finally:
            await gdb.close()
