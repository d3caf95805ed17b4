"""A QEMU that is given up before it is there."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from rrdbg.links.process import QemuProcess


async def test_who_is_cancelled_twice_while_qemu_starts_leaves_nothing_to_complain_of(tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o700)
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    starting = asyncio.create_task(QemuProcess.start([str(silent)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert any("QmpLink.connect" in repr(task) for task in asyncio.all_tasks())
    starting.cancel()
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert complaints == []
