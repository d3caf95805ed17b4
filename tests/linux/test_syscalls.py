"""The system calls of a program of which it is known what it does: cat, which prints the kernel's banner."""

from __future__ import annotations

import pytest

from rrdbg.commands.session import Session
from rrdbg.engine.linux.guest import LinuxGuest
from rrdbg.engine.linux.syscalls import syscalls
from rrdbg.engine.linux.tasks import TaskReader
from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.links.elf import read_kernel_file
from rrdbg.model.hits.stop import Breakpoint
from rrdbg.model.linux.kernel import Kernel
from rrdbg.model.linux.syscall_abi import AARCH64
from rrdbg.model.linux.syscalls import Syscall
from rrdbg.model.linux.task import Task
from rrdbg.model.results import Found
from rrdbg.model.timeline.position import START, Position
from rrdbg.store.history import Console
from tests.linux.asked import answers

pytestmark = [pytest.mark.linux, pytest.mark.timeout(600)]


def printed_by_cat(tasks: Replay, banner: str) -> Position:
    """Where cat has printed the kernel's banner, after the kernel itself has."""
    console = Console.read(tasks.recording.layout.log, tasks.recording.layout.console)
    own = console.find(banner, START)
    assert own
    printed = console.find(banner, own)
    assert printed
    return printed


async def test_what_cat_asks_of_the_kernel(tasks: Replay) -> None:
    layout = tasks.recording.layout
    reader = await LinuxGuest(tasks).tasks()
    banner = reader.kernel.banner
    printed = printed_by_cat(tasks, banner)
    start, end = Position(printed.icount - 100_000), Position(printed.icount + 300_000)
    found = [call async for call in syscalls(tasks, reader, start, end)]
    shown = [str(call) for call in found if call.task.comm == "cat"]
    opened = shown.index('openat(AT_FDCWD, "/proc/version", O_RDONLY) = 3')
    assert shown[opened + 1 :] == [
        f"sendfile(1, 3, NULL, 16777216) = {len(banner) + 1}", "sendfile(1, 3, NULL, 16777216) = 0", "close(3) = 0",
        "exit_group(0) = ?",
    ]  # fmt: skip
    sent = next(call for call in found if call.name == "sendfile")
    assert sent.returned
    assert sent.position < printed < sent.returned

    # None is left out: the kernel's function is entered once for each.
    entry = read_kernel_file(layout.kernel_symbols).addresses["do_syscall_64"]
    hits = [hit.position async for hit in tasks.scan([Breakpoint(1, entry)], start, end)]
    assert sorted(call.position for call in found) == hits
    only = [call async for call in syscalls(tasks, reader, start, end, task="cat", name="close")]
    assert [str(call) for call in only] == ["close(3) = 0"]


async def test_of_one_task_only_its_life_is_looked_at(tasks: Replay) -> None:
    """Also where a call that it makes gives it another name: busybox, run as exe, calls itself cat."""
    guest = LinuxGuest(tasks)
    reader = await guest.tasks()
    end = printed_by_cat(tasks, reader.kernel.banner)
    start, _ = await guest.life_of("cat", Position(end.icount - 3_000_000), end)
    start = Position(start.icount - 200_000)
    found = [call async for call in syscalls(tasks, reader, start, end)]
    assert any((call.task.comm, call.name, call.result) == ("exe", "prctl", 0) for call in found)
    for name in {call.task.comm for call in found}:
        listed = await answers(Session(tasks), f"strace --task {name} from {start.icount} to {end.icount}")
        assert [each.text.partition("  <")[0] for each in listed if isinstance(each, Found)] == [
            f"{call.task}  {call}" for call in found if call.task.comm == name
        ]


async def test_a_stretch_without_any(tasks: Replay) -> None:
    reader = await LinuxGuest(tasks).tasks()
    assert [call async for call in syscalls(tasks, reader, START, Position(1000))] == []
    bare = TaskReader(Kernel("", "", START, {}, reader.kernel.offsets))
    calls = syscalls(tasks, bare, START, Position(1000))
    with pytest.raises(UsageError, match="do_el0_svc or do_trap_ecall_u; this one has none"):
        await anext(calls)


def test_how_calls_are_shown() -> None:
    def shown(name: str, *arguments: int, result: int | None = 0, **texts: bytes) -> str:
        numbered = {int(key[1:]): text for key, text in texts.items()}
        return str(Syscall(START, Task(1, 1, "a", 0), name, arguments, numbered, None, result))

    assert shown("openat", (1 << 64) - 100, 0, 0o1101, 0o644, 0, 0, result=(1 << 64) - 2, t1=b'a"\x1b\n\x007') == (
        'openat(AT_FDCWD, "a\\"\\33\\n\\0007", O_WRONLY|O_CREAT|O_TRUNC, 0644) = -1 ENOENT'
    )
    assert shown("mmap", 0, 4096, 3, 0x22, 0xFFFFFFFF, 0, result=0x7F0000000000) == (
        "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000"
    )
    assert shown("write", 1, 0x1000, 40, result=40, t1=b"x" * 40) == f'write(1, "{"x" * 32}"..., 40) = 40'
    assert shown("unheard_of", 1, 0, 255, 0, 0, 0, result=None) == "unheard_of(0x1, 0, 0xff, 0, 0, 0) = ?"
    assert shown("mmap", 0, 4096, 5, 0x812, 3, 0).startswith(
        "mmap(NULL, 4096, PROT_READ|PROT_EXEC, MAP_PRIVATE|MAP_FIXED|MAP_DENYWRITE, 3, 0)"
    )
    assert shown("newfstatat", 3, 0x1000, 0x2000, 0x1000, t1=b"") == 'newfstatat(3, "", 0x2000, AT_EMPTY_PATH) = 0'
    assert shown("faccessat2", (1 << 64) - 100, 0x1000, 4, 0x200, t1=b"/") == (
        'faccessat2(AT_FDCWD, "/", R_OK, AT_EACCESS) = 0'
    )
    assert shown("access", 0x1000, 0, t0=b"/") == 'access("/", F_OK) = 0'
    assert shown("clone", 0x1200011, 0, 0, 0, 0, result=7) == (
        "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=NULL) = 7"
    )
    assert shown("clone", 17, 0, 0, 0, 0) == "clone(child_stack=NULL, flags=SIGCHLD) = 0"
    assert shown("clone", 0, 0, 0, 0, 0) == "clone(child_stack=NULL, flags=0) = 0"
    assert shown("clone", 0x3D0F00, 0x10, 0x20, 0x30, 0x40).endswith(
        "CLONE_CHILD_CLEARTID, parent_tid=0x20, tls=0x40, child_tidptr=0x30) = 0"
    )
    aarch64 = Syscall(START, Task(1, 1, "a", 0), "clone", (0x3D0F00, 0x10, 0x20, 0x30, 0x40), {}, abi=AARCH64)
    assert str(aarch64).endswith("CLONE_CHILD_CLEARTID, parent_tid=0x20, tls=0x30, child_tidptr=0x40) = ?")


def test_what_others_are_shown_by_than_a_mere_table() -> None:
    def shown(name: str, *arguments: int, result: int = 0, **texts: bytes) -> str:
        numbered = {int(key[1:]): text for key, text in texts.items()}
        given = (*arguments, *(0,) * (6 - len(arguments)))
        return str(Syscall(START, Task(1, 1, "a", 0), name, given, numbered, None, result % (1 << 64)))

    assert shown("sync") == "sync() = 0"
    assert shown("prctl", 15, 0x1000, t1=b"exe") == 'prctl(PR_SET_NAME, "exe") = 0'
    assert shown("prctl", 999, 1) == "prctl(0x3e7, 0x1, 0, 0, 0) = 0"
    assert shown("rt_sigprocmask", 2, 0x1000, 0, 8) == "rt_sigprocmask(SIG_SETMASK, 0x1000, NULL, 8) = 0"
    assert shown("kill", 1, 15) == "kill(1, SIGTERM) = 0"
    assert shown("tkill", 1, 32) == "tkill(1, SIGRTMIN) = 0"
    assert shown("read", 0, 0x1000, 10, result=-512) == "read(0, 0x1000, 10) = ? ERESTARTSYS"
    assert shown("read", 0, 0x1000, 10, result=-11) == "read(0, 0x1000, 10) = -1 EAGAIN"
    assert shown("mknod", 0x1000, 0o20600, 0x501, t0=b"/dev/console") == (
        'mknod("/dev/console", S_IFCHR|0600, makedev(0x5, 0x1)) = 0'
    )
    assert shown("mremap", 0x1000, 1, 2, 3, 0x2000, result=0x2000) == (
        "mremap(0x1000, 1, 2, MREMAP_MAYMOVE|MREMAP_FIXED, 0x2000) = 0x2000"
    )
    assert shown("reboot", 0xFEE1DEAD, 0x28121969, 0xA1B2C3D4, 0x1000, t3=b"now") == (
        'reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART2, "now") = 0'
    )
    assert shown("futex", 0x1000, 0x181, 1) == "futex(0x1000, FUTEX_WAKE_PRIVATE|FUTEX_CLOCK_REALTIME, 1) = 0"
    assert shown("fcntl", 3, 1030, 40, result=40) == "fcntl(3, F_DUPFD_CLOEXEC, 40) = 40"
    assert shown("fcntl", 3, 3, result=0o100002) == "fcntl(3, F_GETFL) = 0x8002"
    assert shown("umask", 0o22, result=0o77) == "umask(022) = 077"
    assert shown("socket", 16, 0x80003, 15) == "socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT) = 0"
    assert shown("accept4", 3, 0, 0, 0x80800) == "accept4(3, NULL, NULL, SOCK_CLOEXEC|SOCK_NONBLOCK) = 0"
    assert shown("getrandom", 0x1000, 2, 1, result=2, t0=b"\x00\xff") == (
        'getrandom("\\x00\\xff", 2, GRND_NONBLOCK) = 2'
    )


@pytest.mark.parametrize("line", ["strace foo", "strace 1400000000 1405000000", "info switches 1", "info ran sh"])
async def test_words_that_mean_nothing_are_refused(tasks: Replay, line: str) -> None:
    with pytest.raises(UsageError, match=r"is not understood; write \S+"):
        await answers(Session(tasks), line)
