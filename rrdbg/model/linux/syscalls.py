"""System calls as ``strace`` shows them: names from the kernel's own table, arguments by a small table of ours."""

from __future__ import annotations

import errno
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rrdbg.model.linux.syscall_abi import X86_64, SyscallAbi
from rrdbg.model.linux.task import Task
from rrdbg.model.timeline.position import Position

LONGEST_TEXT = 4096
"""Bytes of a path that are read at most; Linux takes no longer one."""

SHOWN_DATA = 32
"""Bytes of what is read or written that are shown, as strace does."""

_OTHER_NAMES = {
    "newstat": "stat", "newlstat": "lstat", "newfstat": "fstat", "newuname": "uname", "umount": "umount2",
    "sendfile64": "sendfile",
}  # fmt: skip
"""What strace calls those that the kernel calls otherwise."""

_SIGNATURES = """
read fBu; write fbu; open sOo; close f; stat sp; fstat fp; lstat sp; poll pui; lseek fli; mmap puPMfx; mprotect puP
munmap pu; brk p; rt_sigaction ippu; rt_sigprocmask ippu; ioctl fxp; pread64 fBul; pwrite64 fbul; readv fpu
writev fpu; access sX; pipe p; select ipppp; dup f; dup2 ff; nanosleep pp; getpid; socket iii; connect fpu
accept fpp; sendto fbuxpu; recvfrom fBuxpp; bind fpu; listen fi; clone Cpppx; fork; vfork; execve spp; exit i
wait4 ipwp; kill ii; uname p; fcntl fix; flock fi; fsync f; truncate sl; ftruncate fl; getdents64 fpu; getcwd pu
chdir s; fchdir f; rename ss; mkdir so; rmdir s; creat so; link ss; unlink s; symlink ss; readlink sBu; chmod so
fchmod fo; chown sii; umask o; getuid; getgid; geteuid; getegid; getppid; setsid; setpgid ii; getpgrp; mount sssmp
umount2 sx; reboot xxxp; sethostname pu; gettid; tkill ii; tgkill iii; futex pixppu; set_tid_address p
clock_gettime ip; clock_nanosleep iipp; exit_group i; openat dsOo; mkdirat dso; mknodat dsox; fchownat dsiiA
newfstatat dspA; unlinkat dsA; renameat dsds; linkat dsdsA; symlinkat sds; readlinkat dsBu; fchmodat dso
faccessat dsX; pipe2 pO; dup3 ffO; prlimit64 iipp; getrandom BuR; statx dsAxp; rseq puxx; clone3 pu; faccessat2 dsXE
set_robust_list pu; arch_prctl xp; prctl ixxxx; sched_yield; sysinfo p; getpgid i; getsid i; sigaltstack pp
madvise pui; sendfile ffpu; pause; alarm u; init_module pus; finit_module fsx; delete_module sO; socketpair iiip
getsockname fpp; shutdown fi; setsockopt fiipu; getsockopt fiipp
"""
"""By name, a letter for each argument: f file descriptor, d one or AT_FDCWD, s path, b and B data that go in and come
out (the next argument says how many), o mode, i, l, u and x numbers, p pointer. Flags: O of open, P and M of mmap, A
and E of paths, X of access, C of clone, m of mount, w of wait, R of getrandom."""

_OPEN = (
    (0o1, "O_WRONLY"), (0o2, "O_RDWR"), (0o100, "O_CREAT"), (0o200, "O_EXCL"), (0o400, "O_NOCTTY"), (0o1000, "O_TRUNC"),
    (0o2000, "O_APPEND"), (0o4000, "O_NONBLOCK"), (0o200000, "O_DIRECTORY"), (0o400000, "O_NOFOLLOW"),
    (0o2000000, "O_CLOEXEC"), (0o10000000, "O_PATH"), (0o100000, "O_LARGEFILE"),
)  # fmt: skip
_PROTECTION = ((1, "PROT_READ"), (2, "PROT_WRITE"), (4, "PROT_EXEC"))
_MAPPING = (
    (1, "MAP_SHARED"), (2, "MAP_PRIVATE"), (0x10, "MAP_FIXED"), (0x20, "MAP_ANONYMOUS"), (0x40, "MAP_32BIT"),
    (0x100, "MAP_GROWSDOWN"), (0x800, "MAP_DENYWRITE"), (0x1000, "MAP_EXECUTABLE"), (0x2000, "MAP_LOCKED"),
    (0x4000, "MAP_NORESERVE"), (0x8000, "MAP_POPULATE"), (0x10000, "MAP_NONBLOCK"), (0x20000, "MAP_STACK"),
    (0x40000, "MAP_HUGETLB"), (0x80000, "MAP_SYNC"), (0x100000, "MAP_FIXED_NOREPLACE"),
)  # fmt: skip
_AT = (
    (0x100, "AT_SYMLINK_NOFOLLOW"), (0x200, "AT_REMOVEDIR"), (0x400, "AT_SYMLINK_FOLLOW"), (0x800, "AT_NO_AUTOMOUNT"),
    (0x1000, "AT_EMPTY_PATH"), (0x2000, "AT_STATX_FORCE_SYNC"), (0x4000, "AT_STATX_DONT_SYNC"),
    (0x8000, "AT_RECURSIVE"),
)  # fmt: skip
_AT_EACCESS = ((0x200, "AT_EACCESS"), *(known for known in _AT if known[0] != 0x200))
_ACCESS = ((1, "X_OK"), (2, "W_OK"), (4, "R_OK"))
_CLONE = (
    (0x100, "CLONE_VM"), (0x200, "CLONE_FS"), (0x400, "CLONE_FILES"), (0x800, "CLONE_SIGHAND"), (0x1000, "CLONE_PIDFD"),
    (0x2000, "CLONE_PTRACE"), (0x4000, "CLONE_VFORK"), (0x8000, "CLONE_PARENT"), (0x10000, "CLONE_THREAD"),
    (0x20000, "CLONE_NEWNS"), (0x40000, "CLONE_SYSVSEM"), (0x80000, "CLONE_SETTLS"), (0x100000, "CLONE_PARENT_SETTID"),
    (0x200000, "CLONE_CHILD_CLEARTID"), (0x400000, "CLONE_DETACHED"), (0x800000, "CLONE_UNTRACED"),
    (0x1000000, "CLONE_CHILD_SETTID"), (0x2000000, "CLONE_NEWCGROUP"), (0x4000000, "CLONE_NEWUTS"),
    (0x8000000, "CLONE_NEWIPC"), (0x10000000, "CLONE_NEWUSER"), (0x20000000, "CLONE_NEWPID"),
    (0x40000000, "CLONE_NEWNET"), (0x80000000, "CLONE_IO"),
)  # fmt: skip
_MOUNT = (
    (1, "MS_RDONLY"), (2, "MS_NOSUID"), (4, "MS_NODEV"), (8, "MS_NOEXEC"), (0x10, "MS_SYNCHRONOUS"),
    (0x20, "MS_REMOUNT"), (0x400, "MS_NOATIME"), (0x800, "MS_NODIRATIME"), (0x1000, "MS_BIND"), (0x2000, "MS_MOVE"),
    (0x4000, "MS_REC"), (0x8000, "MS_SILENT"), (0x20000, "MS_UNBINDABLE"), (0x40000, "MS_PRIVATE"),
    (0x80000, "MS_SLAVE"), (0x100000, "MS_SHARED"), (0x200000, "MS_RELATIME"), (0x1000000, "MS_STRICTATIME"),
)  # fmt: skip
_WAIT = (
    (1, "WNOHANG"), (2, "WSTOPPED"), (4, "WEXITED"), (8, "WCONTINUED"), (0x1000000, "WNOWAIT"),
    (0x20000000, "__WNOTHREAD"), (0x40000000, "__WALL"), (0x80000000, "__WCLONE"),
)  # fmt: skip
_RANDOM = ((1, "GRND_NONBLOCK"), (2, "GRND_RANDOM"), (4, "GRND_INSECURE"))
_FLAGS = {
    "P": (_PROTECTION, "PROT_NONE"), "M": (_MAPPING, "0"), "A": (_AT, "0"),
    "E": (_AT_EACCESS, "0"), "X": (_ACCESS, "F_OK"), "m": (_MOUNT, "0"), "w": (_WAIT, "0"), "R": (_RANDOM, "0"),
}  # fmt: skip
_AT_FDCWD = -100
_RESTARTS = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 516: "ERESTART_RESTARTBLOCK"}
_MOST_ERROR = 4095
_ARGUMENTS = 6


def _table() -> dict[str, str]:
    entries = (entry.split() for line in _SIGNATURES.strip().splitlines() for entry in line.split(";") if entry.strip())
    return {name: "".join(letters) for name, *letters in entries}


SIGNATURES: Mapping[str, str] = _table()
"""The letters of the arguments, by name."""


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
        letters = SIGNATURES.get(self.name, "x" * _ARGUMENTS)
        return ", ".join(
            _argument(letter, value, self.texts.get(number), self.abi)
            for number, (letter, value) in enumerate(zip(letters, self.arguments, strict=False))
        )

    @property
    def shown_result(self) -> str:
        """What it gave: a number, or -1 and the error's name; a question mark if it did not come back."""
        if self.result is None:
            return "?"
        signed = _signed(self.result, 64)
        if -_MOST_ERROR <= signed < 0:
            name = errno.errorcode.get(-signed) or _RESTARTS.get(-signed) or str(-signed)
            return f"-1 {name}"
        return f"{signed:#x}" if self.name in ("mmap", "brk", "mremap", "shmat") else str(signed)

    def __str__(self) -> str:
        return f"{self.name}({self.shown_arguments}) = {self.shown_result}"


def syscall_name(symbol: str, abi: SyscallAbi) -> str:
    """What strace calls the system call whose function the kernel calls ``symbol``; empty if it is none's."""
    name = next((symbol.removeprefix(prefix) for prefix in abi.prefixes if symbol.startswith(prefix)), "")
    return "" if name == "ni_syscall" else _OTHER_NAMES.get(name, name)


def _argument(letter: str, value: int, text: bytes | None, abi: SyscallAbi) -> str:
    if text is not None:
        most = LONGEST_TEXT if letter == "s" else SHOWN_DATA
        return _quoted(text[:most]) + ("..." if len(text) > most else "")
    match letter:
        case "f" | "i":
            return str(_signed(value, 32))
        case "d":
            return "AT_FDCWD" if _signed(value, 32) == _AT_FDCWD else str(_signed(value, 32))
        case "l":
            return str(_signed(value, 64))
        case "u":
            return str(value)
        case "o":
            return f"0{value & 0xFFFF_FFFF:o}"
        case "C":
            return _cloned(value)
        case "O":
            return _flags(value & 0xFFFF_FFFF, _open_flags(abi), "O_RDONLY")
        case _ if letter in _FLAGS:
            return _flags(value & 0xFFFF_FFFF, *_FLAGS[letter])
        case "x":
            return f"{value:#x}" if value else "0"
        case _:
            return f"{value:#x}" if value else "NULL"


def _flags(value: int, known: Sequence[tuple[int, str]], none: str) -> str:
    names = [name for bit, name in known if value & bit]
    left = value & ~sum(bit for bit, _ in known)
    if none == "O_RDONLY" and not value & 3:
        names.insert(0, none)
    shown = [*names, *([f"{left:#x}"] if left else [])]
    return "|".join(shown) or none


def _open_flags(abi: SyscallAbi) -> Sequence[tuple[int, str]]:
    others = abi.open_flags or {}
    return [(others.get(name, bit), name) for bit, name in _OPEN]


def _cloned(value: int) -> str:
    """The flags of clone, whose last byte is the signal that tells the parent of the end."""
    number = value & 0xFF
    names = {known.value: known.name for known in signal.Signals}
    ends_with = [names.get(number, str(number))] if number else []
    flags = [] if ends_with and not value >> 8 else [_flags(value & 0xFFFF_FF00, _CLONE, "0")]
    return "|".join([*flags, *ends_with])


def _quoted(data: bytes) -> str:
    named = {10: "\\n", 9: "\\t", 13: "\\r", 34: '\\"', 92: "\\\\"}
    return '"' + "".join(named.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:o}") for byte in data) + '"'


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
