"""How many processors a guest has: QEMU records one."""

from __future__ import annotations

from rrdbg.errors import QemuLaunchError, UsageError
from rrdbg.links.process import QemuProcess

_SEVERAL_CPUS = ("not supported for 'smp'", "not supported with multiple CPUs")  # 7.2, 10.0


def check_refusal(error: QemuLaunchError) -> None:
    """Whether QEMU has refused to start since the machine has several.

    :raises UsageError: it has.
    """
    if any(words in str(error) for words in _SEVERAL_CPUS):
        raise _too_many("several") from None


async def check_processors(process: QemuProcess) -> None:
    """Ask QEMU itself: there are boards with several, and devices that are CPUs.

    :raises UsageError: the machine has, or may get, more than one.
    """
    found = await process.guard(process.qmp.execute("query-cpus-fast"))
    count = len(found) if isinstance(found, list) else 1
    if count > 1:
        raise _too_many(str(count))


def _too_many(count: str) -> UsageError:
    return UsageError(
        f"This cannot be recorded: the machine has {count} CPUs, and QEMU records one; leave -smp and -device ...-cpu "
        "out, or take a board that has one."
    )
