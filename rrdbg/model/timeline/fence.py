"""Where a replay must stop, at the latest."""

from __future__ import annotations

from collections.abc import Iterable


def last_reachable(total: int, shutdowns: Iterable[tuple[int, bool]], *, reboots: bool, exited: bool = False) -> int:
    """The last icount at which a replay can safely stand.

    That is where the guest, or whoever recorded it, first asked for the end. A few more instructions may follow in
    the log, but QEMU 7.2 to 11.1 may stop in the run state ``shutdown`` before them, out of which nothing leads
    (measured: 1 of 4 runs to the icount after a guest's power-off, none of 40 runs to the icount itself).

    :param total: the length of the log in instructions.
    :param shutdowns: the log's shutdown requests as (icount, is a reset), in order.
    :param exited: whether QEMU ended by itself, at the last instruction, as a replay then does again.
    :param reboots: whether a reset lets the guest go on (no ``-no-reboot``).
    """
    asked = next((icount for icount, is_reset in shutdowns if not (is_reset and reboots)), total)
    return min(asked, total - 1) if exited else asked
