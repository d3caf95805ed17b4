"""What stands in front of QEMU where the host can confine it: a program of its own, run by its path, never imported.

``confine.py MEASURE ... -- PROGRAM ARGUMENT ...`` takes from itself what the measures say and executes PROGRAM in its
own place, with the same process id. A measure is ``read=PATH`` or ``write=PATH``, a file or folder that may be read
(and executed) or also written, and all others not; or ``offline``, a network that nothing leads out of. Rights to
files are taken by Landlock (landlock(7)), as far as this kernel knows them. What fails ends it: nobody runs a QEMU that
he takes for confined.
"""

import ctypes
import os
import sys

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""The same numbers on every architecture."""

_VERSION_FLAG = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVS = 38
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _DEVICE_IOCTL = 1 << 13, 1 << 14, 1 << 15
_ALL_OF_FIRST = (1 << 13) - 1
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _DEVICE_IOCTL
_TCP = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


_libc = ctypes.CDLL(None, use_errno=True)


def landlock_version() -> int:
    """What this kernel knows of Landlock: 1 and more, or 0 for nothing."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))))


def go_offline() -> None:
    """Leave the network for one of this process's own, where there is nobody.

    :raises OSError: that is not allowed here.
    """
    _check(_libc.unshare(_NEW_USER | _NEW_NET), "unshare")


def keep_to(read: list[str], write: list[str]) -> None:
    """Give up all files but those in ``read`` and ``write``, TCP, and others' abstract sockets and processes.

    :raises OSError: the kernel has no Landlock, or a path is not there.
    """
    version = landlock_version()
    if not version:
        raise OSError(0, "this kernel has no Landlock")
    handled = _ALL_OF_FIRST
    handled |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    handled |= _DEVICE_IOCTL if version >= 5 else 0
    rules = _Ruleset(handled, _TCP if version >= 4 else 0, _ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0)
    # An older kernel refuses a structure with fields that it does not know, unless they are left out.
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _check(
        _libc.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0)), "landlock"
    )
    for path in read:
        _allow(ruleset, path, handled & (_EXECUTE | _READ_FILE | _READ_DIR))
    for path in write:
        _allow(ruleset, path, handled & ~_EXECUTE)
    _check(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    _check(_libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)), "landlock")
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):  # noqa: PTH112 - pathlib takes as long to import as all the rest
            rights &= _ON_FILES
        rule = _Beneath(rights, place)
        words = (ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))
        _check(_libc.syscall(_ADD_RULE, *words), path)
    finally:
        os.close(place)


def _check(answer: int, what: str) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return answer


def main(words: list[str]) -> None:
    """Do what the words say."""
    place = words.index("--")
    measures = [word.partition("=") for word in words[:place]]
    try:
        if any(name == "offline" for name, _, _ in measures):
            go_offline()
        read = [path for name, _, path in measures if name == "read"]
        write = [path for name, _, path in measures if name == "write"]
        if read or write:
            keep_to(read, write)
        if words[place + 1 :]:
            os.execv(words[place + 1], words[place + 1 :])
    except OSError as error:
        sys.exit(f"QEMU cannot be confined: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
