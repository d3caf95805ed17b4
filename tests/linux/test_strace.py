"""The system calls of a program, against what strace has told of it in the same guest, call by call."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from rrdbg.engine.linux.guest import LinuxGuest
from rrdbg.engine.linux.syscalls import syscalls
from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.engine.replay import Replay
from rrdbg.model.linux.syscalls import Syscall
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests import linux
from tests.guests.linux.asker import build_asker
from tests.linux.asked import console_of, printed

pytestmark = [pytest.mark.matrix, pytest.mark.linux, pytest.mark.timeout(900)]

_TOLD = re.compile(r"^asker: told (\d+)$")
_ENDS = re.compile(r"^\+\+\+ exited with ")
_EXPLAINED = re.compile(r"(= \S+(?: E\w+)?) \(.*\)$")
"""Behind some results strace says in words what they mean."""

_BY_CHANCE = ("getrandom", "getppid", "times", "time")
_ADDRESS = re.compile(r"0x[0-9a-f]{7,}")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with failing_clearly("asker"):
        guest = build_asker(GUEST_DIR)
    command = (
        "qemu-system-x86_64", *linux.QEMU_OPTIONS, "-nographic", "-no-reboot", "-kernel", str(guest.kernel),
        "-initrd", str(guest.initrd), "-append", guest.cmdline,
    )  # fmt: skip
    directory = tmp_path_factory.mktemp("asker") / "asker"
    asyncio.run(Recorder(RecordRequest(command, directory)).run())
    return directory


def told_by_strace(console: str) -> dict[int, list[str]]:
    """What strace has written of each process, without its own explanations."""
    told: dict[int, list[str]] = {}
    lines = console.splitlines()
    for line in lines[lines.index("asker: traced") : lines.index("asker: alone")]:
        if begins := _TOLD.match(line):
            told[int(begins[1])] = []
        elif told and not _ENDS.match(line):
            told[next(reversed(told))].append(_EXPLAINED.sub(r"\1", line))
    return told


def from_its_program(calls: Sequence[Syscall]) -> list[Syscall]:
    """What was called from the execve on that has begun this program."""
    first = max((number for number, call in enumerate(calls) if call.name == "execve" and call.result == 0), default=0)
    return list(calls[first:])


def told_here(calls: Sequence[Syscall]) -> list[str]:
    """The same in strace's form, which leaves the registers of rt_sigreturn to its own decoder."""
    return [str(call) for call in sorted(calls, key=lambda call: call.position)]


async def test_each_call_is_as_strace_has_told_it(recording: Path) -> None:
    told = told_by_strace(console_of(recording))
    assert len(told) == 3, "the program, and two children"
    assert sum(map(len, told.values())) > 250
    async with await Replay.open(recording) as replay:
        start, alone = printed(replay, "asker: traced"), printed(replay, "asker: alone")
        reader = await LinuxGuest(replay).tasks()
        calls = [call async for call in syscalls(replay, reader, start, replay.timeline.end)]
    for pid, expected in told.items():
        own = from_its_program([call for call in calls if call.task.pid == pid])
        assert told_here(own) == [re.sub(r"^rt_sigreturn\(.*\)", "rt_sigreturn()", line) for line in expected]

    # And of the same program when nobody traces it: but for addresses, numbers of processes, clocks and chance.
    first = next(call.task.pid for call in calls if call.position > alone and call.task.comm == "asker")
    traced, untraced = (
        alike(from_its_program([call for call in calls if call.task.pid == pid])) for pid in (min(told), first)
    )
    assert untraced == traced


def alike(calls: Sequence[Syscall]) -> list[str]:
    """The calls without what differs from run to run."""
    numbers = {calls[0].task.pid, *(call.result for call in calls if call.name in ("clone", "vfork"))}
    process = re.compile(rf"\b({'|'.join(map(str, numbers))})\b")
    return [
        call.name if call.name in _BY_CHANCE else process.sub("PROCESS", _ADDRESS.sub("ADDRESS", str(call)))
        for call in sorted(calls, key=lambda call: call.position)
    ]
