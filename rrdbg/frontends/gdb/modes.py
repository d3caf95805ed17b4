"""In which of its modes GDB sees an x86 CPU.

GDB reads code, and finds registers and addresses, as the architecture has them that it is told. In boot code that is a
CPU of 16 or 32 bits, so that the code is shown right. But then it would set breakpoints of 64-bit code at half their
address, and judge conditions by registers that are none or others. So where points are set, and where the guest moves
while there are such points, it must see the CPU as QEMU describes it, by whose numbers of registers we judge, too.
Where a 32-bit program is debugged on a CPU of 64 bits, what that program's variables are in has other numbers: there
it must see a CPU of 32 bits.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import gdb

from rrdbg.errors import RrdbgError, UsageError
from rrdbg.frontends.gdb import debug_adapter
from rrdbg.frontends.gdb.client import Client
from rrdbg.frontends.gdb.watchpoints import KINDS
from rrdbg.model.program.code_mode import CodeMode, lines_to_see

DESCRIBED, NEEDED, HERE = "described", "needed", "here"
_SETTING = ("break", "tbreak", "hbreak", "thbreak", "dprintf", "condition", "watch", "rwatch", "awatch")
_MOVING = (
    "continue", "step", "stepi", "next", "nexti", "finish", "until", "advance",
    "reverse-continue", "reverse-step", "reverse-stepi", "reverse-next", "reverse-nexti", "reverse-finish",
)  # fmt: skip
_LOOK = "rrdbg look-as {}"
_WAY_OUT = "rrdbg way-out"
_FAR = 1 << 32
_SHORT_PROGRAM = re.compile(rb"\x7fELF\x01\x01.{12}\x03\0", re.DOTALL)
_SPEAKS_MI = re.compile(rb"\0--?i(?:nterpreter)?[=\0]mi")


class Modes:
    """Has GDB see the CPU in the mode that it is in, but for where it needs more.

    Commands that the user types have hooks for that. Front ends over MI and DAP set and move without them: there GDB
    sees the CPU as QEMU describes it for as long as there is a point that needs it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._hooked = not debug_adapter.is_spoken() and not _speaks_mi()
        self._unsettled = False
        if self._hooked:
            for name in _SETTING:
                _hook(f"hook-{name}", _LOOK.format(DESCRIBED))
                _hook(f"hookpost-{name}", _LOOK.format(HERE))
            for name in _MOVING:
                before = (_WAY_OUT,) if name == "finish" else ()
                _hook(f"hook-{name}", *before, _LOOK.format(NEEDED))
            _hook("hook-up", _WAY_OUT)
        else:
            gdb.events.breakpoint_created.connect(self._met)
            gdb.events.breakpoint_modified.connect(self._met)

    def look_as(self, words: str) -> None:
        """Have GDB see the CPU ``described``, as in the mode ``here``, or described if that is ``needed``.

        :raises UsageError: it is another word.
        """
        if words not in (DESCRIBED, NEEDED, HERE):
            raise UsageError(f"Write 'rrdbg look-as {DESCRIBED}', '{NEEDED}' or '{HERE}'.")
        if not self._is_recording():
            return
        if words == HERE:
            self.settle()
        elif words == DESCRIBED or _needed():
            self._unsettled = _see_described() or self._unsettled

    def follow(self) -> None:
        """Have GDB see the CPU in the mode that it is in, if the target is an rrdbg."""
        self._unsettled = False
        if self._hooked or not _needed():
            _follow()
        else:
            _see_described()

    def settle(self) -> None:
        """The same, if a hook of a command had GDB see it otherwise."""
        if self._unsettled:
            self.follow()

    def _met(self, point: gdb.Breakpoint) -> None:
        if point.enabled and _is_far(point) and self._is_recording():
            _see_described()

    def _is_recording(self) -> bool:
        try:
            return self._client.find() is not None
        except RrdbgError:
            return False  # the next stop tells why; what the user has typed goes on


@contextlib.contextmanager
def as_described() -> Iterator[None]:
    """GDB sees all of the CPU inside that the program names, by whose numbers of registers code is compiled."""
    connection = _connection()
    if connection is None:
        yield
        return
    mode = _whole(connection)
    if _sees_as(mode):
        yield
        return
    _see_as(connection, mode)
    try:
        yield
    finally:
        _follow()


def _connection() -> gdb.RemoteTargetConnection | None:
    """The target that may be asked; none while the guest runs."""
    connection = gdb.selected_inferior().connection
    thread = gdb.selected_thread()
    running = thread is not None and thread.is_running()
    return connection if isinstance(connection, gdb.RemoteTargetConnection) and not running else None


def _whole(connection: gdb.RemoteTargetConnection) -> str:
    """The mode in which GDB has all that the program names: as QEMU describes the CPU, or the program's own."""
    described, here = (
        (connection.send_packet(packet) or b"").decode() for packet in ("qRrdbg.described", "qRrdbg.mode")
    )
    long = described == CodeMode.BITS64
    return CodeMode.BITS32 if long and here != CodeMode.BITS64 and _is_32_bit_program() else described


def _is_32_bit_program() -> bool:
    """Whether the file whose symbols are in use is for a 32-bit x86 CPU."""
    space = gdb.current_progspace()
    if space is None or space.filename is None:
        return False
    try:
        with Path(space.filename).open("rb") as file:
            return _SHORT_PROGRAM.match(file.read(20)) is not None
    except OSError:
        return False  # it has gone since GDB has read it


def _follow() -> None:
    if connection := _connection():
        _see_as(connection, (connection.send_packet("qRrdbg.mode") or b"").decode())


def _see_described() -> bool:
    """See the CPU as QEMU describes it, and read all conditions anew: GDB compiles one as it was read.

    False if GDB does so already.
    """
    connection = _connection()
    mode = _whole(connection) if connection else ""
    if connection is None or _sees_as(mode):
        return False
    _see_as(connection, mode)
    for point in gdb.breakpoints():
        if point.condition and point.type not in KINDS:
            try:
                point.condition = point.condition
            except gdb.error as error:
                gdb.write(f"rrdbg: breakpoint {point.number}'s condition cannot be read: {error}\n", gdb.STDERR)
    return True


def _see_as(connection: gdb.RemoteTargetConnection, mode: str) -> None:
    if _sees_as(mode):
        return
    connection.send_packet(f"QRrdbg.layout:{mode}")
    *tried, last = lines_to_see(mode)
    for line in tried:
        with contextlib.suppress(gdb.error):
            gdb.execute(line, to_string=True)
    gdb.execute(last, to_string=True)


def _sees_as(mode: str) -> bool:
    """Whether GDB works in ``mode`` already, or there is none."""
    return not mode or mode == gdb.selected_inferior().architecture().name()


def _needed() -> bool:
    return any(point.enabled and _is_far(point) for point in gdb.breakpoints())


def _is_far(point: gdb.Breakpoint) -> bool:
    """Whether a point is only right where GDB knows all registers and addresses, or may be."""
    far = any(location.address >= _FAR for location in point.locations)
    return far or bool(point.condition) or point.type in KINDS


def _hook(name: str, *lines: str) -> None:
    """Define the hook ``name``, unless the user has one of his own."""
    try:
        gdb.execute(f"show user {name}", to_string=True)
    except gdb.error:
        gdb.execute("\n".join((f"define {name}", *lines, "end")))


def _speaks_mi() -> bool:
    """Whether this GDB was started for a program that speaks GDB/MI to it; only its command line tells."""
    try:
        return _SPEAKS_MI.search(Path("/proc/self/cmdline").read_bytes()) is not None
    except OSError:
        return False
