"""When a run of a hunt has failed, as it is written on the command line: ``KIND=VALUE``."""

from __future__ import annotations

from dataclasses import dataclass

from rrdbg.errors import UsageError

ENDS = {
    "timeout": "the timeout",
    "panic": "the guest panicked",
    "reset": "the guest reset itself",
    "poweroff": "the guest powered off",
}
"""The ways in which a run may end, and how a recording says it."""

KINDS = ("expr", "memory", "console", "python", "run", "ended")
"""Kinds of criteria: those of ``rrdbg bisect``, and the way in which the run ended."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One of :data:`KINDS`, and its value."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind}={self.value}"

    @property
    def needs_replay(self) -> bool:
        """Whether the guest itself has to be asked, at the recording's end, and not only what is known without it."""
        return self.kind not in ("console", "ended")


def parse_criterion(text: str) -> Criterion:
    """Read ``KIND=VALUE``.

    :raises UsageError: it is something else.
    """
    kind, equals, value = text.partition("=")
    if kind not in KINDS or not equals or not value:
        raise UsageError(f"--if {text}: write KIND=VALUE, where KIND is one of {', '.join(KINDS)}.")
    if kind == "ended" and value not in ENDS:
        raise UsageError(f"--if {text}: a run ends in one of these ways: {', '.join(ENDS)}.")
    return Criterion(kind, value)
