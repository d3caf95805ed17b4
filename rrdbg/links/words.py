"""The command lines of a recording and of a replaying QEMU, from an :class:`Invocation`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rrdbg.links.images import JsonObject, as_option
from rrdbg.links.scheduling import NAMED_THREADS
from rrdbg.model.machine.drives import Disk
from rrdbg.model.machine.invocation import Invocation
from rrdbg.model.machine.options import escape, format_properties, words_of
from rrdbg.model.machine.ram import RamBlock
from rrdbg.model.machine.semihosting import CONSOLE

VMSTATE_DRIVE = "rrdbg-vmstate"
"""The drive that holds the machine's state; it comes first, since a load looks in the first drive.

That cannot be a disk of the guest's: a save at the start would wait for ever for blkreplay to flush it (7.2).
"""


WAITING = ("-incoming", "defer", "-global", "migration.announce-rounds=0")
"""What makes a QEMU wait to be told which state it is to take.

Cards of the network would tell that they have come from elsewhere, by an interrupt that is in no log.
"""


@dataclass(frozen=True, slots=True)
class RamFile:
    """RAM that a QEMU maps from a file that it finds open as ``fd``.

    If it is ``shared`` what the guest writes goes into the file, and to save the machine's state need not contain RAM;
    else the file stays as it is. ``sealed`` has QEMU open it to be read only, which 8.2 and newer can. It also has
    what is open as ``beside``, to map parts of it over the RAM.
    """

    block: RamBlock
    fd: int
    shared: bool
    sealed: bool = False
    beside: int | None = None

    @property
    def passed(self) -> tuple[int, ...]:
        """The file descriptors that QEMU must have."""
        return (self.fd,) if self.beside is None else (self.fd, self.beside)

    def words(self) -> list[str]:
        """The options."""
        properties = {
            "qom-type": "memory-backend-file",
            "id": self.block.id,
            "size": str(self.block.size),
            "mem-path": f"/dev/fd/{self.fd}",
            "share": "on" if self.shared else "off",
        } | ({"readonly": "on", "rom": "off"} if self.sealed else {})
        return ["-object", format_properties(properties), "-machine", f"memory-backend={self.block.id}"]


@dataclass(frozen=True, slots=True)
class Images:
    """Block nodes of one QEMU: the machine's state and each of the guest's disks, in order."""

    vmstate: JsonObject
    disks: Sequence[JsonObject]


def disk_node(index: int) -> str:
    """The node name of the guest's disk number ``index``, beneath blkreplay."""
    return f"rrdbg-disk{index}"


def opened_files(invocation: Invocation, bundled: Callable[[str], Path]) -> dict[int, Path]:
    """The files that the commands made here name by number."""
    return {file.fd: bundled(file.name) for file in invocation.bundled if file.fd is not None}


def record_words(
    qemu: str,
    invocation: Invocation,
    images: Images,
    bundled: Callable[[str], Path],
    *,
    log: Path,
    tag: str,
    console: Path,
    typed: Path | None = None,
    waits: bool = False,
) -> list[str]:
    """The command that records, stopped at first, the guest's console going to the file ``console``.

    Without a ``tag`` QEMU saves no snapshot at the start. One that ``waits`` is to be told which state it is to take.

    A file, since writing to it never waits: a socket whose reader is late makes the serial port try again, at
    a moment that no log holds, and the replay then fails with "Missing character write event".
    If something can be typed to the guest, it comes through the named pipe ``typed``.in, and ``typed``.out leads to
    ``console``: QEMU calls such a pair a pipe, and takes a file for half of it.
    """
    captured = _captured(console) if typed is None else {"backend": "pipe", "id": CONSOLE, "path": str(typed)}
    return [
        *_machine(qemu, invocation, images, bundled, captured),
        *words_of(invocation.host_options),
        *_icount(invocation, "record", log, tag),
        "-S",
        *(WAITING if waits else ()),
    ]


def replay_words(
    qemu: str,
    invocation: Invocation,
    images: Images,
    bundled: Callable[[str], Path],
    *,
    log: Path,
    tag: str,
    gdb_fd: int,
    ram: RamFile | None = None,
) -> list[str]:
    """The command that replays from the snapshot ``tag``, stopped, its gdbstub on the socket ``gdb_fd``.

    Without a ``tag`` it begins with the machine's start. ``ram`` is where its RAM is, unless that is QEMU's matter.
    """
    return [
        *_debugged(qemu, invocation, images, bundled, gdb_fd),
        *(ram.words() if ram else ()),
        *_icount(invocation, "replay", log, tag),
    ]


def waiting_words(
    qemu: str,
    invocation: Invocation,
    images: Images,
    bundled: Callable[[str], Path],
    *,
    log: Path,
    gdb_fd: int,
    ram: RamFile,
) -> list[str]:
    """The command of a machine that waits to be told which state it is to take, with its RAM in ``ram``.

    It then replays ``log``.
    """
    return [
        *_debugged(qemu, invocation, images, bundled, gdb_fd),
        *ram.words(),
        *_icount(invocation, "replay", log, ""),
        *WAITING,
    ]


def first_replay_words(
    qemu: str,
    invocation: Invocation,
    images: Images,
    bundled: Callable[[str], Path],
    *,
    log: Path,
    console: Path,
) -> list[str]:
    """The command that replays from the machine's start, stopped, for a recording that has no snapshot yet.

    What the guest prints goes to the file ``console``, as when it was recorded.
    """
    return [
        *_machine(qemu, alone := invocation.without_host(), images, bundled, _captured(console)),
        *words_of(alone.host_options),
        *NAMED_THREADS,
        "-S",
        "-icount", f"{invocation.pace},rr=replay,rrfile={escape(str(log))}",
    ]  # fmt: skip


def branch_words(
    qemu: str,
    invocation: Invocation,
    images: Images,
    bundled: Callable[[str], Path],
    *,
    tag: str,
    gdb_fd: int,
) -> list[str]:
    """The command that goes on from the snapshot ``tag`` by itself, stopped, its gdbstub on the socket ``gdb_fd``.

    It records, to nowhere: a QEMU that neither records nor replays does not know the snapshot's section "replay".
    """
    return [
        *_debugged(qemu, invocation, images, bundled, gdb_fd),
        "-icount", f"{invocation.pace},rr=record,rrfile={os.devnull}",
        "-loadvm", tag,
    ]  # fmt: skip


def _debugged(
    qemu: str, invocation: Invocation, images: Images, bundled: Callable[[str], Path], gdb_fd: int
) -> list[str]:
    return [
        *_machine(qemu, alone := invocation.without_host(), images, bundled, {"backend": "null", "id": CONSOLE}),
        *words_of(alone.host_options),
        *NAMED_THREADS,
        "-S",
        "-chardev", f"socket,id=rrdbg-gdb,fd={gdb_fd}",
        "-gdb", "chardev:rrdbg-gdb",
    ]  # fmt: skip


def _captured(console: Path) -> dict[str, str]:
    return {"backend": "file", "id": CONSOLE, "path": str(console)}


def _machine(
    qemu: str,
    invocation: Invocation,
    images: Images,
    bundled: Callable[[str], Path],
    console: Mapping[str, str],
) -> list[str]:
    words = [qemu, *invocation.machine_words()]
    for file in invocation.bundled:
        if not file.inside:
            words += [f"-{file.option}", file.opened_as or str(bundled(file.name))]
    if images.vmstate:
        words += ["-drive", f"if=none,id={VMSTATE_DRIVE},file=json:{escape(json.dumps(images.vmstate))}"]
    for index, (disk, node) in enumerate(zip(invocation.disks, images.disks, strict=True)):
        words += _disk(disk, node, disk_node(index))
    backend, *others = console.items()
    shared = {"mux": "on"} if invocation.shares_console else {}
    return [*words, "-chardev", f"{backend[1]},{format_properties(dict(others) | shared)}"]


def _disk(disk: Disk, node: JsonObject, name: str) -> list[str]:
    """The disk with the block node ``node`` called ``name``, and above it what the guest's device is given."""
    above: JsonObject = {"driver": "raw", "file": name} if disk.waits else {"driver": "blkreplay", "image": name}
    if disk.node is not None:
        above |= {"node-name": disk.node, "read-only": disk.read_only}
        return ["-blockdev", as_option(node), "-blockdev", as_option(above)]
    drive = {"read-only": "on", **disk.frontend} if disk.read_only else disk.frontend
    if disk.waits:
        # -drive takes no other node as its file.
        return ["-drive", f"file=json:{escape(json.dumps(node))},{format_properties(drive)}"]
    return ["-blockdev", as_option(node), "-drive", format_properties({"driver": "blkreplay", "image": name, **drive})]


def _icount(invocation: Invocation, mode: str, log: Path, tag: str) -> list[str]:
    words = f"{invocation.pace},rr={mode},rrfile={escape(str(log))}"
    return ["-icount", f"{words},rrsnapshot={escape(tag)}" if tag else words]
