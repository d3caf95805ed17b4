"""A process of ours that is held for a moment and makes system calls for us, see ptrace(2).

A waiting QEMU is so made to map parts of a file into its memory, which no process can do for another: a gigabyte that
would be copied in 3 s is there after 20 ms. Each call takes 25 µs. Only what a debugger may do is needed, as to write
to the process's memory. Registers are those of x86-64; elsewhere :attr:`Tracee.possible` is False.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import signal
import sys
from pathlib import Path
from types import TracebackType

_GET_REGISTERS, _SET_REGISTERS, _STEP, _DETACH, _SEIZE, _INTERRUPT = 12, 13, 9, 17, 0x4206, 0x4207
_ALL = (1 << 64) - 1
_NO_CALL = _ALL
"""The number of the system call that a thread is in, where it is in none; else the kernel would begin that anew."""

_STANDS = (os.CLD_TRAPPED, os.CLD_STOPPED)
_EVENT = 1 << 8
"""No signal: that it was interrupted."""

_SYSCALL = b"\x0f\x05"
_MMAP = 9
_FIXED = 0x10

_NAMES = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
)
"""``struct user_regs_struct``, in sys/user.h."""

_ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")


class _Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in _NAMES]


class Tracee:
    """The process ``pid``, a child of ours, whose first thread stands still inside of the ``with``.

    It must be left by the thread that has entered it.

    :raises OSError: the kernel does not allow it, or the process has ended.
    """

    possible = os.uname().machine == "x86_64" and sys.maxsize > 1 << 32
    """Whether it is known how this host's system calls are made."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = _Registers()
        self._gate = 0
        self._signals: list[int] = []

    def __enter__(self) -> Tracee:
        _ptrace(_SEIZE, self._pid)
        try:
            _ptrace(_INTERRUPT, self._pid)
            self._stopped()
            _ptrace(_GET_REGISTERS, self._pid, self._before)
            self._gate = _gate(self._pid)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                _ptrace(_DETACH, self._pid)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # It may have ended. Else the kernel begins the call anew in which it waits, as after any interruption.
        with contextlib.suppress(ProcessLookupError):
            _ptrace(_SET_REGISTERS, self._pid, self._before)
            _ptrace(_DETACH, self._pid)
            for signal_number in self._signals:
                os.kill(self._pid, signal_number)

    def map(self, address: int, length: int, file: int, offset: int) -> None:
        """Map ``length`` bytes at ``offset`` of what the process has open as ``file`` to ``address``, as its own.

        Of a negative ``file`` that are zeros. What it writes there stays with it.

        :raises OSError: it cannot be.
        """
        allowed = mmap.PROT_READ | mmap.PROT_WRITE
        kind = mmap.MAP_PRIVATE | _FIXED | (mmap.MAP_ANONYMOUS if file < 0 else 0)
        found = self._call(_MMAP, address, length, allowed, kind, file, offset)
        if found != address:
            raise OSError(-found, os.strerror(-found) if -4096 < found < 0 else f"mmap answered {found:#x}")

    def _call(self, number: int, *arguments: int) -> int:
        registers = _Registers.from_buffer_copy(self._before)
        registers.rax, registers.orig_rax, registers.rip = number, _NO_CALL, self._gate
        for name, value in zip(_ARGUMENTS, arguments, strict=False):
            setattr(registers, name, value & _ALL)
        _ptrace(_SET_REGISTERS, self._pid, registers)
        _ptrace(_STEP, self._pid)
        while self._stopped() != signal.SIGTRAP:
            _ptrace(_STEP, self._pid)  # a signal came before the call
        _ptrace(_GET_REGISTERS, self._pid, registers)
        if registers.rip != self._gate + len(_SYSCALL):
            raise OSError(errno.EIO, f"a system call has ended at {registers.rip:#x}")
        return ctypes.c_longlong(registers.rax).value

    def _stopped(self) -> int:
        """Wait until it stands: for what, a signal, of which others than a step's are sent again at the end."""
        # To look first leaves the status of one that has ended to whom it belongs (rrdbg.links.process).
        found = os.waitid(os.P_PID, self._pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if found is None or found.si_code not in _STANDS:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        os.waitid(os.P_PID, self._pid, os.WSTOPPED)
        why = found.si_status
        if why < _EVENT and why != signal.SIGTRAP:
            self._signals.append(why)
        return why


def _gate(pid: int) -> int:
    """Where in ``pid`` an instruction lies that makes a system call: the kernel's own page has one."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if line.endswith("[vdso]"):
            low, high = (int(end, 16) for end in line.split()[0].split("-"))
            with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
                memory.seek(low)
                at = memory.read(high - low).find(_SYSCALL)
            if at >= 0:
                return low + at
    raise OSError(errno.ENOSYS, "no instruction for system calls is found")


_libc = ctypes.CDLL(None, use_errno=True)


def _ptrace(what: int, pid: int, data: _Registers | None = None) -> None:
    pointer = ctypes.byref(data) if data else None
    if _libc.ptrace(ctypes.c_long(what), ctypes.c_long(pid), None, pointer) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
