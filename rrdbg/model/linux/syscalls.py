"""System calls as ``strace`` shows them: names from the kernel's own table, arguments by a table of ours."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rrdbg.model.linux.syscall_abi import X86_64, SyscallAbi
from rrdbg.model.linux.syscall_arguments import arguments_shown, signed
from rrdbg.model.linux.task import Task
from rrdbg.model.timeline.position import Position

_OTHER_NAMES = {
    "newstat": "stat", "newlstat": "lstat", "newfstat": "fstat", "newuname": "uname", "umount": "umount2",
    "sendfile64": "sendfile",
}  # fmt: skip
"""What strace calls those that the kernel calls otherwise."""

_RESTARTS = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 516: "ERESTART_RESTARTBLOCK"}
_ERRORS = {**errno.errorcode, 11: "EAGAIN", 35: "EDEADLK", 95: "EOPNOTSUPP"}
"""What errors are called; of two names strace takes these."""

_MOST_ERROR = 4095
_ADDRESSES = ("mmap", "brk", "mremap", "shmat")
"""Calls that give an address."""

_GETS_FLAGS = (3, 1034)
"""What of fcntl gives flags: F_GETFL and F_GET_SEALS."""


@dataclass(frozen=True, slots=True)
class Syscall:
    """One system call: who made it and where, with which values in its registers, and what it gave and when.

    ``texts`` are the bytes at those arguments that point to a path or to data, by their number. ``returned`` and
    ``result`` are None if it has not come back. ``abi`` says what some flags are called.
    """

    position: Position
    task: Task
    name: str
    arguments: Sequence[int]
    texts: Mapping[int, bytes]
    returned: Position | None = None
    result: int | None = None
    abi: SyscallAbi = X86_64

    @property
    def duration(self) -> int | None:
        """Instructions until it came back, those of other tasks that ran meanwhile included."""
        return self.returned.icount - self.position.icount if self.returned else None

    @property
    def shown_arguments(self) -> str:
        """What stands between the parentheses."""
        return arguments_shown(self.name, self.arguments, self.texts, self.abi)

    @property
    def shown_result(self) -> str:
        """What it gave: a number, or -1 and the error's name; a question mark where it gave nothing."""
        if self.result is None:
            return "?"
        number = signed(self.result, 64)
        if restarts := _RESTARTS.get(-number):
            return f"? {restarts}"
        if -_MOST_ERROR <= number < 0:
            return f"-1 {_ERRORS.get(-number, -number)}"
        if self.name in _ADDRESSES or (self.name == "fcntl" and self.arguments[1] in _GETS_FLAGS):
            return f"{number:#x}" if number else "0"
        return f"0{number:o}" if self.name == "umask" and number else str(number)

    def __str__(self) -> str:
        return f"{self.name}({self.shown_arguments}) = {self.shown_result}"


def syscall_name(symbol: str, abi: SyscallAbi) -> str:
    """What strace calls the system call whose function the kernel calls ``symbol``; empty if it is none's."""
    name = next((symbol.removeprefix(prefix) for prefix in abi.prefixes if symbol.startswith(prefix)), "")
    return "" if name == "ni_syscall" else _OTHER_NAMES.get(name, name)
