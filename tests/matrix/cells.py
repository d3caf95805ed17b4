"""The guests of the matrix, by name: a bare-metal one and a Linux for each architecture, and boards with firmware.

QEMU's version is that on PATH.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.engine.making.trial import check
from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.model.timeline.position import Position
from tests.guests import linux
from tests.guests.build import QEMU_OPTIONS, build
from tests.guests.foreign import build_foreign
from tests.guests.linux import build_linux
from tests.guests.linux.foreign import PORTS, build_foreign_linux
from tests.matrix.boards import BOARDS

ARCHITECTURES = ("x86_64", "aarch64", "riscv64")
GUESTS = ("bare", "linux")
CELLS = tuple(f"{architecture}-{guest}" for guest in GUESTS for architecture in ARCHITECTURES)
NAMES = (*CELLS, *BOARDS)

_SNAPSHOTS = 8


def what(name: str) -> str:
    """What runs there, for people."""
    if name in BOARDS:
        return BOARDS[name].what
    return "Linux with busybox" if name.endswith("linux") else "a program with a timer, system calls and waiting"


def command(name: str, out_dir: Path) -> Sequence[str]:
    """The command line of a guest, which is built below ``out_dir`` if need be.

    :raises GuestError: it cannot be built.
    """
    if name in BOARDS:
        return BOARDS[name].command(out_dir)
    architecture, _, guest = name.partition("-")
    if guest == "bare":
        if architecture == "x86_64":
            return ("qemu-system-x86_64", *QEMU_OPTIONS, "-serial", "stdio", "-kernel", str(build("workload", out_dir)))
        return build_foreign(architecture, out_dir).command
    if architecture == "x86_64":
        machine: Sequence[str] = ()
        kernel = build_linux(out_dir)
    else:
        machine = PORTS[architecture].qemu_options
        kernel = build_foreign_linux(architecture, out_dir)
    return (
        f"qemu-system-{architecture}", *machine, *linux.QEMU_OPTIONS, "-nographic", "-no-reboot",
        "-kernel", str(kernel.kernel), "-initrd", str(kernel.initrd), "-append", kernel.cmdline,
    )  # fmt: skip


async def record(name: str, words: Sequence[str], root: Path) -> Path:
    """Record the guest ``name`` by its command, and leave snapshots in even places, which a short guest would not get.

    :raises RrdbgError: it is refused.
    """
    request = RecordRequest(words, root)
    if board := BOARDS.get(name):
        request = replace(request, max_icount=board.instructions, timeout=board.seconds)
        await check(request)
    await Recorder(request).run()
    async with await Replay.open(root) as replay:
        end = replay.timeline.end.icount
        for number in range(1, _SNAPSHOTS):
            await replay.seek(Position(replay.timeline.deliveries.plain_at_or_before(number * end // _SNAPSHOTS)))
            try:
                await replay.snapshot()
            except UsageError:
                break  # a machine that cannot have sound ones; its jumps start at the beginning
    return root
