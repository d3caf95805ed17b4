"""The arguments of system calls: of which kind each is, by a table of ours, and how strace shows it.

What a pointer to a structure leads to is not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rrdbg.model.linux.syscall_abi import SyscallAbi
from rrdbg.model.linux.syscall_words import (
    CHOICES,
    FLAGS,
    choice_shown,
    clone_shown,
    flags_shown,
    futex_shown,
    signal_shown,
    socket_type_shown,
)

LONGEST_TEXT = 4096
"""Bytes of a path that are read at most; Linux takes no longer one."""

SHOWN_DATA = 32
"""Bytes of what is read or written that are shown, as strace does."""

_SIGNATURES = """
accept fd ptr ptr; accept4 fd ptr ptr socket-flags; access path access; acct path; add_key path path ptr size hex
adjtimex ptr; alarm uint; arch_prctl arch ptr; bind fd ptr int; bpf hex ptr uint; brk ptr; capget ptr ptr
capset ptr ptr; chdir path; chmod path mode; chown path int int; chroot path; clock_adjtime clock ptr
clock_getres clock ptr; clock_gettime clock ptr; clock_nanosleep clock timer ptr ptr; clock_settime clock ptr
clone3 ptr size; close fd; close_range uint uint close-range; connect fd ptr int
copy_file_range fd ptr fd ptr size hex; creat path mode; delete_module path open; dup fd; dup2 fd fd; dup3 fd fd pipe
epoll_create int; epoll_create1 epoll; epoll_ctl fd epoll-do fd ptr; epoll_pwait fd ptr int int ptr size
epoll_pwait2 fd ptr int ptr ptr size; epoll_wait fd ptr int int; eventfd uint; eventfd2 uint eventfd
execve path ptr ptr; execveat dirfd path ptr ptr at; exit int; exit_group int; faccessat dirfd path access
faccessat2 dirfd path access at-access; fadvise64 fd long long fadvice; fallocate fd fallocate long long; fchdir fd
fchmod fd mode; fchmodat dirfd path mode; fchown fd int int; fchownat dirfd path int int at; fcntl fd fcntl hex
fdatasync fd; fgetxattr fd path ptr size; flistxattr fd ptr size; flock fd flock; fork; fremovexattr fd path
fsconfig fd hex path ptr int; fsetxattr fd path in size xattr; fsmount fd hex hex; fsopen path hex
fspick dirfd path hex; fstat fd ptr; fstatfs fd ptr; fsync fd; ftruncate fd long; futex ptr futex uint ptr ptr hex
getcpu ptr ptr ptr; getcwd text size; getdents fd ptr uint; getdents64 fd ptr uint; getegid; geteuid; getgid
getgroups int ptr; getitimer interval ptr; getpeername fd ptr ptr; getpgid int; getpgrp; getpid; getppid
getpriority priority int; getrandom random size random-flags; getresgid ptr ptr ptr; getresuid ptr ptr ptr
getrlimit limit ptr; getrusage usage ptr; getsid int; getsockname fd ptr ptr; getsockopt fd level int ptr ptr; gettid
gettimeofday ptr ptr; getuid; getxattr path path ptr size; init_module ptr size path; finit_module fd path module
inotify_add_watch fd path inotify-mask; inotify_init; inotify_init1 inotify; inotify_rm_watch fd int
ioctl fd ioctl ptr; io_setup uint ptr; ioprio_get int int; ioprio_set int int hex; keyctl int hex hex hex hex
kill int signal; lchown path int int; lgetxattr path path ptr size; link path path; linkat dirfd path dirfd path at
listen fd int; listxattr path ptr size; llistxattr path ptr size; lremovexattr path path; lseek fd long whence
lsetxattr path path in size xattr; lstat path ptr; madvise ptr size advice; membarrier membarrier hex
memfd_create path memfd; mincore ptr size ptr; mkdir path mode; mkdirat dirfd path mode; mknod path file-mode device
mknodat dirfd path file-mode device; mlock ptr size; mlockall mlockall; mmap ptr size prot map fd hex
mount path path path mount path; mount_setattr dirfd path at ptr size; move_mount dirfd path dirfd path hex
mprotect ptr size prot; mremap ptr size size mremap; msync ptr size msync; munlock ptr size; munlockall
munmap ptr size; name_to_handle_at dirfd path ptr ptr at; nanosleep ptr ptr; newfstatat dirfd path ptr at
open path open mode; open_tree dirfd path hex; openat dirfd path open mode; openat2 dirfd path ptr size; pause
personality hex; pidfd_open int hex; pidfd_send_signal fd signal ptr hex; pipe ptr; pipe2 ptr pipe
pivot_root path path; poll ptr uint int; ppoll ptr uint ptr ptr size; prctl prctl hex hex hex hex
pread64 fd out size long; preadv fd ptr size long; prlimit64 int limit ptr ptr; pselect6 int ptr ptr ptr ptr ptr
pwrite64 fd in size long; pwritev fd ptr size long; quotactl hex path int ptr; read fd out size
readahead fd long size; readlink path out size; readlinkat dirfd path out size; readv fd ptr size
reboot reboot-first reboot-second reboot; recvfrom fd out size msg ptr ptr; recvmmsg fd ptr uint msg ptr
recvmsg fd ptr msg; removexattr path path; rename path path; renameat dirfd path dirfd path
renameat2 dirfd path dirfd path rename; request_key path path path int; restart_syscall; rmdir path
rseq ptr hex32 int hex32; rt_sigaction signal ptr ptr size; rt_sigpending ptr size
rt_sigprocmask mask-how ptr ptr size; rt_sigreturn; rt_sigsuspend ptr size; rt_sigtimedwait ptr ptr ptr size
sched_get_priority_max policy; sched_get_priority_min policy; sched_getaffinity int uint ptr
sched_getattr int ptr uint hex; sched_getparam int ptr; sched_getscheduler int; sched_setaffinity int uint ptr
sched_setattr int ptr hex; sched_setparam int ptr; sched_setscheduler int policy ptr; sched_yield; seccomp hex hex ptr
select int ptr ptr ptr ptr; sendfile fd fd ptr size; sendmmsg fd ptr uint msg; sendmsg fd ptr msg
sendto fd in size msg ptr int; set_robust_list ptr size; set_tid_address ptr; setdomainname in size; setfsgid int
setfsuid int; setgid int; setgroups int ptr; sethostname in size; setitimer interval ptr ptr; setns fd clone
setpgid int int; setpriority priority int int; setregid int int; setresgid int int int; setresuid int int int
setreuid int int; setrlimit limit ptr; setsid; setsockopt fd level int ptr int; settimeofday ptr ptr; setuid int
setxattr path path in size xattr; shutdown fd shut; sigaltstack ptr ptr; signalfd4 fd ptr size signalfd
socket family socket-type int; socketpair family socket-type int ptr; splice fd ptr fd ptr size hex; stat path ptr
statfs path ptr; statx dirfd path at-statx statx ptr; swapoff path; swapon path swap; symlink path path
symlinkat path dirfd path; sync; sync_file_range fd long long sync-range; syncfs fd; sysinfo ptr; syslog int ptr int
tee fd fd size hex; tgkill int int signal; time ptr; timer_create clock ptr ptr; timer_delete int
timer_settime int timer ptr ptr; timerfd_create clock timerfd; timerfd_gettime fd ptr
timerfd_settime fd timerfd-set ptr ptr; times ptr; tkill int signal; truncate path long; umask octal
umount2 path umount; uname ptr; unlink path; unlinkat dirfd path at; unshare clone; utime path ptr
utimensat dirfd path ptr at; utimes path ptr; vfork; vhangup; vmsplice fd ptr size hex; wait4 int ptr wait ptr
waitid id-kind int ptr wait ptr; write fd in size; writev fd ptr size
"""
"""By name, of which kind each argument is. Beside what has a name in :mod:`rrdbg.model.linux.syscall_words`: fd a file
descriptor, dirfd one or AT_FDCWD; path a string, text one that comes out; in and out data that goes in and comes out,
of which the next argument says how much; mode and file-mode of files, octal; int, long, uint, size, hex and hex32
numbers; ptr what is not looked at."""

_BY_COMMAND = """
fcntl 1 F_DUPFD int; fcntl 1 F_DUPFD_CLOEXEC int; fcntl 1 F_GETFD; fcntl 1 F_GETFL; fcntl 1 F_GETOWN; fcntl 1 F_GETSIG
fcntl 1 F_GETLEASE; fcntl 1 F_GET_SEALS; fcntl 1 F_GETPIPE_SZ; fcntl 1 F_SETFD fd-flags; fcntl 1 F_SETFL open
fcntl 1 F_ADD_SEALS seal; fcntl 1 F_SETOWN int; fcntl 1 F_SETSIG signal; fcntl 1 F_SETPIPE_SZ int; fcntl 1 F_GETLK ptr
fcntl 1 F_SETLK ptr; fcntl 1 F_SETLKW ptr; fcntl 1 F_OFD_GETLK ptr; fcntl 1 F_OFD_SETLK ptr; fcntl 1 F_OFD_SETLKW ptr
futex 1 FUTEX_WAIT uint ptr; futex 1 FUTEX_WAKE uint; futex 1 FUTEX_WAIT_BITSET uint ptr - bits
futex 1 FUTEX_WAKE_BITSET uint - - bits; futex 1 FUTEX_REQUEUE uint uint ptr
futex 1 FUTEX_CMP_REQUEUE uint uint ptr uint; futex 1 FUTEX_LOCK_PI - ptr; futex 1 FUTEX_LOCK_PI2 - ptr
futex 1 FUTEX_UNLOCK_PI; futex 1 FUTEX_TRYLOCK_PI; ioctl 1 TIOCEXCL; ioctl 1 TIOCNXCL; ioctl 1 TIOCNOTTY
ioctl 1 TIOCVHANGUP; ioctl 1 FIOCLEX; ioctl 1 FIONCLEX; ioctl 1 TIOCSCTTY int; ioctl 1 TCSBRK int; ioctl 1 TCXONC int
ioctl 1 TCFLSH int; prctl 0 PR_SET_NAME path; prctl 0 PR_GET_NAME text; prctl 0 PR_SET_PDEATHSIG signal
prctl 0 PR_GET_PDEATHSIG ptr; prctl 0 PR_SET_DUMPABLE dumpable; prctl 0 PR_GET_DUMPABLE
prctl 0 PR_CAPBSET_READ capability; prctl 0 PR_GET_KEEPCAPS; prctl 0 PR_CAPBSET_DROP capability
prctl 0 PR_SET_KEEPCAPS size; prctl 0 PR_SET_CHILD_SUBREAPER size; prctl 0 PR_GET_CHILD_SUBREAPER ptr
prctl 0 PR_SET_NO_NEW_PRIVS size size size size; prctl 0 PR_GET_NO_NEW_PRIVS size size size size
prctl 0 PR_SET_TIMERSLACK size; prctl 0 PR_GET_TIMERSLACK; prctl 0 PR_GET_SECUREBITS; prctl 0 PR_GET_TID_ADDRESS ptr
prctl 0 PR_GET_SECCOMP; setsockopt 1 SOL_SOCKET socket-option ptr int; getsockopt 1 SOL_SOCKET socket-option ptr ptr
socket 0 AF_INET socket-type ip; socket 0 AF_INET6 socket-type ip; socket 0 AF_NETLINK socket-type netlink
"""
"""Calls in which the argument of that number decides of which kind those behind it are; - has no meaning then."""

_AT_FDCWD = -100
_CREATES = 0o100, 0o20200000
_DEVICES = (0o20000, 0o60000)
_FILE_KINDS = 0o170000
_ARGUMENTS = 6
_SOCKET_FLAGS = ((0x80000, "SOCK_CLOEXEC"), (0x800, "SOCK_NONBLOCK"))


def _entries(text: str) -> list[list[str]]:
    return [entry.split() for line in text.strip().splitlines() for entry in line.split(";") if entry.strip()]


_KINDS: Mapping[str, Sequence[str]] = {name: kinds for name, *kinds in _entries(_SIGNATURES)}
_OF_COMMAND = {(name, int(number), command): kinds for name, number, command, *kinds in _entries(_BY_COMMAND)}
_COMMANDS = {name: number for name, number, _ in _OF_COMMAND}


def kinds_of(name: str, arguments: Sequence[int]) -> Sequence[str]:
    """Of which kind each argument of the call is; numbers where it is not known here."""
    kinds = _KINDS.get(name, ("hex",) * _ARGUMENTS)
    number = _COMMANDS.get(name)
    if number is not None:
        command = CHOICES[kinds[number]].get(arguments[number] & (0x7F if name == "futex" else 0xFFFF_FFFF), "")
        return [*kinds[: number + 1], *_OF_COMMAND.get((name, number, command), kinds[number + 1 :])]
    match name:
        case "open" | "openat" if not any(arguments[kinds.index("open")] & bits == bits for bits in _CREATES):
            return [kind for kind in kinds if kind != "mode"]
        case "mknod" | "mknodat" if arguments[kinds.index("file-mode")] & _FILE_KINDS not in _DEVICES:
            return [kind for kind in kinds if kind != "device"]
        case "mremap" if arguments[3] & 2:
            return [*kinds, "ptr"]
        case "reboot" if CHOICES["reboot"].get(arguments[2] & 0xFFFF_FFFF) == "LINUX_REBOOT_CMD_RESTART2":
            return [*kinds, "path"]
    return kinds


def arguments_shown(name: str, arguments: Sequence[int], texts: Mapping[int, bytes], abi: SyscallAbi) -> str:
    """What stands between the parentheses; ``texts`` are the bytes that arguments point to, by their number."""
    if name == "clone":
        return _clone(arguments, abi)
    return ", ".join(
        _argument(kind, arguments[number], texts.get(number), abi)
        for number, kind in enumerate(kinds_of(name, arguments))
        if kind != "-"
    )


def _clone(arguments: Sequence[int], abi: SyscallAbi) -> str:
    flags, stack, parent = arguments[:3]
    child, local = arguments[3:5] if abi.name == "x86_64" else (arguments[4], arguments[3])
    known = FLAGS["clone"][1]

    def has(*names: str) -> bool:
        return any(flags & bits for bits, name in known.items() if name in names)

    said = [f"child_stack={_argument('ptr', stack, None, abi)}", f"flags={clone_shown(flags & 0xFFFF_FFFF)}"]
    if has("CLONE_PARENT_SETTID", "CLONE_PIDFD"):
        said.append(f"parent_tid={_argument('ptr', parent, None, abi)}")
    if has("CLONE_SETTLS"):
        said.append(f"tls={_argument('ptr', local, None, abi)}")
    if has("CLONE_CHILD_SETTID", "CLONE_CHILD_CLEARTID"):
        said.append(f"child_tidptr={_argument('ptr', child, None, abi)}")
    return ", ".join(said)


def _argument(kind: str, value: int, text: bytes | None, abi: SyscallAbi) -> str:
    if text is not None:
        most = LONGEST_TEXT if kind in ("path", "text") else SHOWN_DATA
        shown = _in_hexadecimal(text[:most]) if kind == "random" else _quoted(text[:most])
        return shown + ("..." if len(text) > most else "")
    low = value & 0xFFFF_FFFF
    if kind == "open":
        return flags_shown(kind, low, abi.open_flags)
    if kind in FLAGS:
        return flags_shown(kind, low)
    if kind in _SHOWN:
        return _SHOWN[kind](low)
    if kind in CHOICES:
        return choice_shown(kind, low)
    match kind:
        case "fd" | "int":
            return str(signed(value, 32))
        case "dirfd":
            return "AT_FDCWD" if signed(value, 32) == _AT_FDCWD else str(signed(value, 32))
        case "long":
            return str(signed(value, 64))
        case "uint":
            return str(low)
        case "size":
            return str(value)
        case "hex" | "hex32":
            number = low if kind == "hex32" else value
            return f"{number:#x}" if number else "0"
        case _:
            return f"{value:#x}" if value else "NULL"


def _mode(value: int) -> str:
    return f"0{value & 0xFFFF:02o}"


def _file_mode(value: int) -> str:
    kind = CHOICES["file-kind"].get(value & _FILE_KINDS)
    return f"{kind}|{_mode(value & ~_FILE_KINDS)}" if kind else _mode(value)


def _octal(value: int) -> str:
    return f"0{value:o}" if value else "0"


def _socket_flags(value: int) -> str:
    return "|".join(name for bits, name in _SOCKET_FLAGS if value & bits) or "0"


def _bits(value: int) -> str:
    return "FUTEX_BITSET_MATCH_ANY" if value == 0xFFFF_FFFF else f"{value:#x}"


def _device(value: int) -> str:
    return f"makedev({value >> 8 & 0xFFF:#x}, {value & 0xFF | value >> 12 & 0xFFF00:#x})"


_SHOWN: Mapping[str, Callable[[int], str]] = {
    "mode": _mode, "file-mode": _file_mode, "octal": _octal,
    "signal": signal_shown, "socket-type": socket_type_shown, "futex": futex_shown,
    "socket-flags": _socket_flags, "bits": _bits, "device": _device,
}  # fmt: skip
"""What is written otherwise than as flags or a choice."""


def _quoted(data: bytes) -> str:
    """In C's own words; of an octal number no more digits than it takes, unless one stands behind it."""
    named = {9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
    shown = []
    for byte, following in zip(data, [*data[1:], 0], strict=False):
        width = 3 if 0x30 <= following <= 0x39 else 1
        shown.append(named.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:0{width}o}"))
    return f'"{"".join(shown)}"'


def _in_hexadecimal(data: bytes) -> str:
    shown = "".join(f"\\x{byte:02x}" for byte in data)
    return f'"{shown}"'


def signed(value: int, bits: int) -> int:
    """``value`` as a number of so many bits that may be negative."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
