"""QEMU's own way as its documentation has it: a guest recorded with the default devices, and ``bc`` in its replay."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.guests import Guest
from benchmarks.points import words_of
from rrdbg.errors import LinkError
from rrdbg.links.images import create_empty
from rrdbg.links.process import QemuProcess, find_qemu
from rrdbg.links.rsp import RspClient
from rrdbg.model.hits.stop import Breakpoint
from rrdbg.store.replaylog import summarise

TRIES = 5
_RECORD_SECONDS = 60.0
_ANSWER_SECONDS = 10.0
"""A ``bc`` of this guest that is answered at all is so in half a second."""


async def try_defaults(guest: Guest) -> dict[str, int]:
    """How often, of :data:`TRIES` times, one ``bc`` from 90% of the recording ends how; nothing for other guests."""
    kernel = guest.kernel
    if kernel is None:
        return {}
    with tempfile.TemporaryDirectory(prefix="rrdbg-bench-") as name:
        folder = Path(name)
        await create_empty(folder / "recorded.qcow2")
        log = folder / "replay.bin"
        recorder = await QemuProcess.start([*_words(kernel, folder / "recorded.qcow2", "record", log), "-no-reboot"])
        try:
            await recorder.ended(_RECORD_SECONDS)
        finally:
            await recorder.kill()
        goal = summarise(log).total * 9 // 10
        point = words_of(Breakpoint(1, guest.address(guest.often)))
        return dict(Counter([await _try(folder, kernel, log, goal, point) for _ in range(TRIES)]))


def _words(kernel: Path, image: Path, mode: str, log: Path) -> list[str]:
    return [
        find_qemu("qemu-system-x86_64"), "-m", "64M", "-kernel", str(kernel), "-net", "none", "-display", "none",
        "-monitor", "none", "-serial", "null", "-drive", f"file={image},format=qcow2,if=none,id=rr",
        "-icount", f"shift=5,rr={mode},rrfile={log},rrsnapshot=init",
    ]  # fmt: skip


async def _try(folder: Path, kernel: Path, log: Path, goal: int, point: str) -> str:
    image = Path(shutil.copyfile(folder / "recorded.qcow2", folder / "replayed.qcow2"))
    socket = folder / "socket"
    words = [*_words(kernel, image, "replay", log), "-no-shutdown", "-S", "-gdb", f"unix:{socket},server=on,wait=off"]
    qemu = await QemuProcess.start(words)
    try:
        client = RspClient(*await asyncio.open_unix_connection(str(socket)))
        try:
            await qemu.qmp.break_at(goal)
            client.resume("c")
            await client.stopped()
            await client.command("Z" + point)
            async with asyncio.timeout(_ANSWER_SECONDS):
                client.resume("bc")
                await client.stopped()
            return "answers"
        except TimeoutError:
            return "deadlocks"
        except LinkError:
            return "dies"
        finally:
            await client.close()
    finally:
        await qemu.kill()
        socket.unlink(missing_ok=True)
