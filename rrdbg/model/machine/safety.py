"""What a machine needs to replay exactly: findings by architecture, machine type and QEMU version, as data.

Each flag is given at record and replay alike, since it changes what a snapshot holds. Each came from a measurement:
``docs/reference/machines.md`` has the commands and their results.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rrdbg.errors import UsageError

X86 = frozenset({"x86_64", "i386"})
DEFAULT_MACHINES = {
    **dict.fromkeys(("x86_64", "i386"), "pc"),
    **dict.fromkeys(("riscv64", "riscv32"), "spike"),
    **dict.fromkeys(("mips", "mipsel", "mips64", "mips64el"), "malta"),
    "ppc": "g3beige",
    "ppc64": "pseries",
    "s390x": "s390-ccw-virtio",
}
"""What QEMU takes where ``-machine`` is not given; other architectures must be given one."""


@dataclass(frozen=True, slots=True)
class Versions:
    """QEMU versions from ``first`` to ``last``, both included, as (major, minor); None: no limit known."""

    first: tuple[int, int] | None = None
    last: tuple[int, int] | None = None

    def __contains__(self, version: str) -> bool:
        """Whether ``version``, such as ``10.0.13 (Debian ...)``, lies in the range.

        :raises UsageError: it does not begin with two numbers.
        """
        found = re.match(r"(\d+)\.(\d+)", version)
        if found is None:
            raise UsageError(f"{version!r} is not a version of QEMU.")
        here = (int(found[1]), int(found[2]))
        return (self.first is None or here >= self.first) and (self.last is None or here <= self.last)


@dataclass(frozen=True, slots=True)
class SafeFlag:
    """An addition to the command line, where it is made, and why.

    ``machines`` are beginnings of ``-machine``'s type (none: all of the architecture); ``versions`` are those
    that need the flag. Others take it without harm, and get it too, so that one recipe fits all.
    """

    words: tuple[str, ...]
    reason: str
    architectures: frozenset[str]
    machines: tuple[str, ...] = ()
    versions: Versions = Versions()

    def applies(self, architecture: str, machine: str) -> bool:
        """Whether this machine gets the flag."""
        return architecture in self.architectures and (not self.machines or machine.startswith(self.machines))


SAFE_FLAGS: Sequence[SafeFlag] = (
    SafeFlag(
        ("-machine", "hpet=off"),
        "HPET derails a replay that jumps",
        X86,
        machines=("pc", "q35"),
        versions=Versions(first=(10, 0)),
    ),
    SafeFlag(
        ("-global", "apic-common.vapic=off"),
        "the virtual APIC deadlocks QEMU when a snapshot loads",
        X86,
    ),
    SafeFlag(
        ("-vga", "std"),
        "the card that this board has by default aborts QEMU when a snapshot is loaded",
        X86,
        machines=("isapc",),
    ),
)


@dataclass(frozen=True, slots=True)
class Hazard:
    """Machines that something is wrong with in a range of QEMU versions, and what that is."""

    reason: str
    architectures: frozenset[str]
    versions: Versions
    boards: tuple[str, ...] = ()
    """None: all of them."""

    def threatens(self, architecture: str, version: str, board: str = "") -> bool:
        """Whether this machine is one of them."""
        is_one = architecture in self.architectures and (not self.boards or board in self.boards)
        return is_one and version in self.versions


SNAPSHOT_HAZARDS: Sequence[Hazard] = (
    # Timers are saved as numbers, not as armed: 7.2 loses those of the board (mtimecmp) and of the CPU (stimecmp),
    # 10.0.13 those of the board, 11.1.2 none (QEMU commit 09f89ccc9763). The guest waits for an interrupt for ever.
    Hazard("the guest's timers are lost with a snapshot", frozenset({"riscv64", "riscv32"}), Versions(last=(10, 1))),
    # On 7.2 from each snapshot, at the same instruction, where SeaBIOS begins to wait; 11.1 is exact there.
    Hazard(
        "a replay of this board that begins at a snapshot stands still later on", X86, Versions(last=(9, 2)), ("isapc",)
    ),
)


STEP_HAZARDS: Sequence[Hazard] = (
    # wfi does not end its translation block, and QEMU counts all of that as executed. A single step, a replay
    # breakpoint or a breakpoint on the page parts the block, and the log's next event is then never reached.
    # One instruction a block (-singlestep, later -accel tcg,one-insn-per-tb=on) is exact, at more than twelve times
    # the processor time: not worth it for all.
    Hazard(
        "single steps over wfi, and breakpoints on its page, make the replay stand still",
        frozenset({"riscv64", "riscv32"}),
        Versions(),
    ),
)


def snapshot_hazard(architecture: str, version: str, board: str = "") -> Hazard | None:
    """What is wrong with snapshots of this machine; None: nothing is known to be."""
    return next((hazard for hazard in SNAPSHOT_HAZARDS if hazard.threatens(architecture, version, board)), None)


def step_hazard(architecture: str, version: str) -> Hazard | None:
    """What a single step may do to a replay of this machine; None: nothing is known."""
    return next((hazard for hazard in STEP_HAZARDS if hazard.threatens(architecture, version)), None)


def safe_flags(architecture: str, machine: str | None) -> list[SafeFlag]:
    """The flags for a machine, in the order of the command line; ``machine`` is ``-machine``'s type, if it is given."""
    return [flag for flag in SAFE_FLAGS if flag.applies(architecture, machine_type(architecture, machine))]


def machine_type(architecture: str, given: str | None) -> str:
    """The board's name: the one ``given``, or QEMU's default; empty if there is none."""
    return given or DEFAULT_MACHINES.get(architecture, "")
