"""Semihosting: calls of the guest's that QEMU answers in place of a debugger.

By itself QEMU passes them to whoever is connected to its gdbstub, while recording nobody and in a replay rrdbg: so it
must be told to answer them itself. What the guest writes goes to the console, behind the same front as the
first serial port: there QEMU notes each byte in the log (``qemu_chr_write``), so that its position is known.
"""

from __future__ import annotations

from rrdbg.errors import UsageError
from rrdbg.model.machine.options import parse_properties

CONSOLE = "rrdbg-console"
"""The id of the chardev that the console is captured by."""

OPTIONS = frozenset({"semihosting", "semihosting-config"})
"""The options that turn it on."""

_REASON = (
    "what the guest writes by semihosting is captured, and nothing can be typed; the time, a key or a file is asked of "
    "the host anew by each replay, so a guest that asks for them does not replay exactly"
)


class Semihosting:
    """What one command line tells of it, as its options are met."""

    def __init__(self) -> None:
        self._given: dict[str, str] | None = None
        self._values: list[str] = []

    @property
    def on(self) -> bool:
        """Whether the guest has it."""
        return self._given is not None and self._given.get("enable", "on") == "on"

    def take(self, value: str | None) -> None:
        """Take one of :data:`OPTIONS`.

        :raises UsageError: it cannot be recorded.
        """
        self._given = {**(self._given or {}), **parse_properties(value or "", "enable")}
        first, comma, rest = (value or "").partition(",")
        self._values.append((value or "") if "=" in first else rest if comma else "")
        if self._given.get("target") == "gdb":
            raise UsageError(
                "This cannot be recorded: semihosting with target=gdb, a debugger that answers; leave target=gdb out."
            )

    def additions(self) -> list[tuple[tuple[str, ...], str]]:
        """The option that QEMU is given, with its reason; none if the guest has no semihosting."""
        if not self.on:
            return []
        # As they were given: there may be several arg=, and of all others the last one counts.
        words = ",".join(part for part in (f"chardev={CONSOLE}", *self._values, "enable=on,target=native") if part)
        return [(("-semihosting-config", words), _REASON)]
