"""LLDB as a client: what LLDB 23.1 has said, packet by packet (``log enable gdb-remote packets``), answered right."""

from __future__ import annotations

from pathlib import Path

from rrdbg.links.rsp import RspClient
from tests.guests.build import symbol
from tests.oracle import Oracle
from tests.server.conftest import connecting, move, serving

SUPPORTED = (
    "qSupported:xmlRegisters=i386,arm,mips,arc;multiprocess+;fork-events+;vfork-events+;swbreak+;hwbreak+;"
    "qXfer:libraries:read+;qXfer:libraries-svr4:read+"
)
UNKNOWN = (
    "QThreadSuffixSupported", "QListThreadsInStopReply", "qVAttachOrWaitSupported", "QEnableErrorStrings",
    "qProcessInfo", "qOffsets", "qStructuredDataPlugins", "jThreadsInfo", "qMemoryRegionInfo:fffffff0",
    "jThreadExtendedInfo:", "qWatchpointSupportInfo:",
)  # fmt: skip
"""What it does without where it gets no answer."""


async def begun(client: RspClient) -> None:
    """It has connected."""
    offered = (await client.exchange(SUPPORTED)).split(b";")
    assert {b"multiprocess+", b"ReverseContinue+", b"ReverseStep+", b"binary-upload+"} <= set(offered)
    for question in UNKNOWN:
        assert await client.exchange(question) == b"", question
    assert b"watchpoint_exceptions_received:after;" in await client.exchange("qHostInfo")
    assert await client.exchange("qC") == b"QCp01.01"
    assert await client.exchange("qfThreadInfo") == b"mp01.01"
    assert await client.exchange("qsThreadInfo") == b"l"
    assert await client.exchange("?") == b"T05thread:p01.01;"
    assert b"<architecture>i386:x86-64</architecture>" in await client.exchange("qXfer:features:read:target.xml:0,3fff")
    assert await client.exchange("Hg1") == b"OK"


async def test_what_lldb_says(workload: Path, workload_guest: Path, busy: Oracle, tmp_path: Path) -> None:
    counter = symbol(workload_guest, "counter").address
    changes = busy.changes(counter)
    first, second = changes[0], changes[1]
    async with serving(workload, tmp_path) as (replay, address), connecting(address) as client:
        await replay.seek(busy[first].position)
        await begun(client)

        async def stands(at: int) -> None:
            """At an entry of the oracle's: by a register, by memory, and truly."""
            assert replay.position == busy[at].position
            assert int.from_bytes(bytes.fromhex((await client.exchange("p10")).decode()), "little") == busy[at].pc
            block = counter - counter % 0x200
            memory = await client.exchange(f"x{block:x},200")
            assert memory[:1] == b"b"
            assert memory[1:][counter - block :][:8] == busy[at].memory[counter]

        await stands(first)
        assert await move(client, "vCont;s:p1.1") == b"T05thread:p01.01;"
        await stands(first + 1)

        place = busy[second].pc
        assert await client.exchange(f"Z0,{place:x},1") == b"OK"
        assert await move(client, "vCont;c:p1.-1") == b"T05thread:p01.01;swbreak:;"
        await stands(second)
        # It steps off a breakpoint in the direction that it goes in.
        assert await client.exchange(f"z0,{place:x},1") == b"OK"
        assert await move(client, "bs") == b"T05thread:p01.01;"
        await stands(second - 1)
        assert await client.exchange(f"Z0,{place:x},1") == b"OK"
        assert await move(client, "bc") == b"T05thread:p01.01;swbreak:;"
        assert busy[busy.index(replay.position)].pc == place
        assert await client.exchange(f"z0,{place:x},1") == b"OK"

        await client.monitor(f"seek {busy[second].position}")
        assert await client.exchange(f"Z2,{counter:x},8") == b"OK"
        stop = f"T05thread:p01.01;watch:{counter:x};".encode()
        assert await move(client, "vCont;c:p1.-1") == stop
        await stands(second + 1)
        assert await move(client, "bc") == stop
        await stands(second)
        assert await move(client, "bc") == stop
        await stands(first)
        assert await client.exchange(f"z2,{counter:x},8") == b"OK"
        assert await move(client, "bc") == b"T05thread:p01.01;replaylog:begin;"
        assert await client.exchange("D;0000000000000001") == b"OK"
