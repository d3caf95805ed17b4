"""What becomes QEMU: a program of its own, run by its path between rrdbg and QEMU, never imported.

``become_qemu.py PARENT FOLDER KIND WORD ... -- PROGRAM ARGUMENT ...`` does what the words say, goes to FOLDER, and
executes PROGRAM in its own place; KIND ``replay`` makes it a batch process, KIND ``other`` leaves that. If the process
PARENT is no longer the one above it nothing is executed: it has died before it was arranged that its death would be
told. No shell is needed for any of that, so nothing is read as anything but words. Such a word is

- ``FROM=TO``: the file descriptor FROM gets the number TO;
- ``read=PATH``, ``write=PATH``: a file or folder that may be read (and executed), or also written, and all others not
  (Landlock, see landlock(7), as far as this kernel knows it);
- ``no-tcp``: with these, no connection of that kind is made or waited for (Landlock, from its version 4 on);
- ``no-sockets``: no socket is made, connected or bound, but for pairs (a filter of system calls, see seccomp(2)).

What fails ends it: nobody runs a QEMU that he takes for confined. It takes 10 ms with ``python -I -S`` and nothing
imported but ``os`` and ``sys``, and 5 ms more to confine.
"""

import os
import sys

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_IO_URING_SETUP = 425
"""The same numbers on every architecture."""

_VERSION_FLAG = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVS, _SET_SECCOMP, _BY_FILTER = 38, 22, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _DEVICE_IOCTL = 1 << 13, 1 << 14, 1 << 15
_ALL_OF_FIRST = (1 << 13) - 1
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _DEVICE_IOCTL
_TCP = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11

_GENERIC = (198, 203, 200)
_SOCKET_CONNECT_BIND = {
    "x86_64": (0xC000003E, (41, 42, 49)), "aarch64": (0xC00000B7, _GENERIC), "riscv64": (0xC00000F3, _GENERIC),
    "loongarch64": (0xC0000102, _GENERIC),
}  # fmt: skip
"""By processor: what the kernel calls it (linux/audit.h), and the numbers of three system calls."""

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_REFUSE, _ALLOW = 0x00050000 | 1, 0x7FFF0000
"""With EPERM, as a kernel without that would."""


def landlock_version() -> int:
    """What this kernel knows of Landlock: 1 and more, or 0 for nothing."""
    try:
        return _call(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def keep_to(read: list[str], write: list[str], *, tcp: bool) -> None:
    """Give up all files but ``read`` and ``write``, ``tcp`` if told so, and others' abstract sockets and processes.

    :raises OSError: the kernel has no Landlock, or a path is not there.
    """
    version = landlock_version()
    if not version:
        raise OSError(0, "this kernel has no Landlock")
    handled = _ALL_OF_FIRST
    handled |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    handled |= _DEVICE_IOCTL if version >= 5 else 0
    rules = [handled, _TCP if version >= 4 and tcp else 0, _ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0]
    # An older kernel refuses a structure with fields that it does not know, unless they are left out.
    packed = _packed(8, *rules[: 1 if version < 4 else 2 if version < 6 else 3])
    ruleset = _call(_CREATE_RULESET, packed, len(packed), 0)
    for path in read:
        _allow(ruleset, path, handled & (_EXECUTE | _READ_FILE | _READ_DIR))
    for path in write:
        _allow(ruleset, path, handled & ~_EXECUTE)
    _prctl(_NO_NEW_PRIVS, 1)
    _call(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):  # noqa: PTH112 - pathlib takes as long to import as all the rest
            rights &= _ON_FILES
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, _packed(8, rights) + _packed(4, place), 0)
    finally:
        os.close(place)


def make_no_sockets() -> None:
    """Give up to make, connect and bind sockets, also by io_uring, which no filter looks into.

    :raises OSError: this kernel has no filters, or the system calls of this processor are not known here.
    """
    import ctypes

    machine = os.uname().machine
    if machine not in _SOCKET_CONNECT_BIND or sys.maxsize < 1 << 32:
        raise OSError(0, f"no filter is known for {machine}")
    audit, refused = _SOCKET_CONNECT_BIND[machine]
    numbers = (*refused, _IO_URING_SETUP)
    # Jumps go over so many instructions as they say: here all to the last one, which refuses.
    last = 4 + len(numbers) + 1
    steps = [
        (_LOAD, 0, 0, 4), (_EQUAL, 0, last - 2, audit), (_LOAD, 0, 0, 0),
        # Numbers from 2^30 on are those of x32, another set of calls for the same processor.
        (_AT_LEAST, last - 4, 0, 1 << 30),
        *((_EQUAL, last - 1 - at, 0, number) for at, number in enumerate(numbers, 4)),
        (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE),
    ]  # fmt: skip
    filtering = b"".join(_packed(2, code) + bytes((yes, no)) + _packed(4, value) for code, yes, no, value in steps)
    kept = ctypes.create_string_buffer(filtering)
    program = _packed(8, len(steps)) + _packed(8, ctypes.addressof(kept))
    _prctl(_NO_NEW_PRIVS, 1)
    _prctl(_SET_SECCOMP, _BY_FILTER, program)


def _packed(size: int, *numbers: int) -> bytes:
    return b"".join(number.to_bytes(size, sys.byteorder, signed=number < 0) for number in numbers)


def _call(number: int, *arguments: object) -> int:
    """A system call that the standard library has no name for."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    return _checked(int(libc.syscall(ctypes.c_long(number), *words)), ctypes.get_errno())


def _prctl(what: int, first: int, second: object = None) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    _checked(int(libc.prctl(ctypes.c_int(what), ctypes.c_ulong(first), second or zero, zero, zero)), ctypes.get_errno())


def _checked(answer: int, number: int) -> int:
    if answer < 0:
        raise OSError(number, os.strerror(number))
    return answer


def become(words: list[str]) -> None:
    """Do what the words say."""
    parent, folder, kind, *rest = words
    place = rest.index("--")
    pairs = [word.partition("=")[::2] for word in rest[:place]]
    for low, high in pairs:
        if low.isdecimal():
            os.dup2(int(low), int(high))
            os.close(int(low))
    if kind == "replay":
        # Threads that hand over to each other at each event of the log are quicker where none preempts the other:
        # 10 s of UEFI that spins replay in 19 s instead of 54 s (QEMU 11.1, with one processor to keep to).
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.chdir(folder)
    if os.getppid() != int(parent):
        sys.exit("whoever was to be told has gone")
    _confine(pairs)
    program = rest[place + 1]
    try:
        os.execv(program, rest[place + 1 :])
    except OSError as error:
        sys.exit(f"{program}: {error.strerror}")


def _confine(pairs: list[tuple[str, str]]) -> None:
    read = [path for name, path in pairs if name == "read"]
    write = [path for name, path in pairs if name == "write"]
    try:
        if read or write:
            keep_to(read, write, tcp=("no-tcp", "") in pairs)
        if ("no-sockets", "") in pairs:
            make_no_sockets()
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        sys.exit(f"it cannot be confined: {error.strerror}{where}")


if __name__ == "__main__":
    become(sys.argv[1:])
