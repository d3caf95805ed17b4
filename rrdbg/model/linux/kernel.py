"""The kernel that runs in a guest: which one it is, and where it lies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rrdbg.errors import UsageError
from rrdbg.model.timeline.position import Position

LONGEST_BANNER = 512
BANNER = b"Linux version "
"""How a kernel's banner begins."""

_HEADER_MAGIC = ((0x202, b"HdrS"), (56, b"ARM\x64"), (56, b"RSC\x05"), (4, b"zimg"))
_RELEASE = re.compile(r"Linux version (\S+)")
_GNU_BUILD_ID = 3
_BASES = ("_text", "_stext")


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that was found at a position.

    ``banner`` is what ``/proc/version`` shows, ``build_id`` its GNU build id in hexadecimal digits, empty if it has
    none; ``addresses`` are those of some of its symbols, where it has relocated itself to; ``offsets`` those of members
    of its structures, as ``task_struct.pid``, in bytes.
    """

    banner: str
    build_id: str
    seen: Position
    addresses: Mapping[str, int]
    offsets: Mapping[str, int] = field(default_factory=dict)

    @property
    def release(self) -> str:
        """What ``uname -r`` prints."""
        found = _RELEASE.match(self.banner)
        return found[1] if found else self.banner

    def joined(self, other: Kernel) -> Kernel:
        """The same kernel with what was found out of it elsewhere, too."""
        return replace(self, addresses={**self.addresses, **other.addresses}, offsets={**self.offsets, **other.offsets})

    @property
    def base(self) -> int | None:
        """Where its text begins; None if that is not known."""
        return next((self.addresses[name] for name in _BASES if name in self.addresses), None)


@dataclass(frozen=True, slots=True)
class KernelFile:
    """What an ELF file tells: its build id if it has one, and the addresses that its symbols were linked to.

    ``percpu`` is where its section of per-CPU variables begins, if their addresses are offsets only.
    """

    path: str
    build_id: str
    addresses: Mapping[str, int]
    percpu: int | None = None

    @property
    def is_kernel(self) -> bool:
        """Whether it is a Linux kernel's, as opposed to any other program's."""
        return {"linux_banner", "init_task"} <= self.addresses.keys() or {
            "_stext",
            "start_kernel",
        } <= self.addresses.keys()

    def offset(self, kernel: Kernel, symbols: Mapping[str, int]) -> int:
        """How far the guest's ``kernel``, whose ``symbols`` are by their names, lies from where this was linked to.

        :raises UsageError: this is another build's.
        """
        if self.build_id and kernel.build_id and self.build_id != kernel.build_id:
            raise UsageError(
                f"{self.path} is of another build (build id {self.build_id[:12]}) than the guest's kernel "
                f"{kernel.release} (build id {kernel.build_id[:12]}); give the vmlinux of that one."
            )
        common = [name for name in self.addresses.keys() & symbols.keys() if symbols[name] >> 63]
        if not common:
            raise UsageError(f"{self.path} and the guest's kernel {kernel.release} have no symbol in common.")
        distances: dict[int, int] = {}
        for name in common:
            distance = symbols[name] - self.addresses[name]
            distances[distance] = distances.get(distance, 0) + 1
        best = max(distances, key=lambda distance: distances[distance])
        # Names of local symbols may stand for several places; of the same build nearly all agree all the same.
        same_build = bool(self.build_id) and self.build_id == kernel.build_id
        if not same_build and distances[best] < _AGREEING * len(common):
            raise UsageError(
                f"{self.path} is of another build than the guest's kernel {kernel.release}: only "
                f"{distances[best]:,} of {len(common):,} symbols lie alike; give the vmlinux of that one."
            )
        return best

    def line_to_move(self, offset: int) -> str:
        """GDB's command that reads the symbols of this file ``offset`` further on than they were linked to."""
        # Per-CPU variables have offsets for addresses, which stay what they are.
        fixed = f" -s {_PERCPU} {self.percpu:#x}" if self.percpu is not None else ""
        return f'with confirm off -- add-symbol-file "{self.path}" -o {offset & (1 << 64) - 1:#x}{fixed}'


_PERCPU = ".data..percpu"
"""The section of per-CPU variables."""

_AGREEING = 0.9


def is_linux_image(header: bytes) -> bool:
    """Whether a file that begins with ``header``, of at least 1 KiB, is a kernel's image as it is booted, or packed."""
    return header[:2] == b"\x1f\x8b" or any(
        header[place : place + len(magic)] == magic for place, magic in _HEADER_MAGIC
    )


def build_id_in(notes: bytes) -> str:
    """The GNU build id among ELF notes, in hexadecimal digits; empty if there is none."""
    place = 0
    while place + 12 <= len(notes):
        name_size, size, kind = (int.from_bytes(notes[place + at : place + at + 4], "little") for at in (0, 4, 8))
        name_end = place + 12 + name_size
        start = place + 12 + (name_size + 3 & ~3)
        if notes[place + 12 : name_end] == b"GNU\0" and kind == _GNU_BUILD_ID:
            return notes[start : start + size].hex()
        place = start + (size + 3 & ~3)
    return ""
