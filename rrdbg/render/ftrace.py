"""Calls as the text of the kernel's function tracer, which Perfetto and trace viewers draw as nested slices.

A call is a pair of marks as user space writes them (``tracing_mark_write: B|PID|NAME`` and ``E|PID``,
Documentation/trace/ftrace.rst and Perfetto's systrace parser). A nanosecond is an instruction, so a time without its
point is the position.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rrdbg.model.linux.task import Task
from rrdbg.model.timeline.position import Position

_BILLION = 1_000_000_000
_HEADER = """# tracer: nop
#
# A nanosecond is an instruction: a time without its point is a position for rrdbg's 'seek'.
#
#           TASK-PID       TGID   CPU#  ||||   TIMESTAMP  FUNCTION
"""


@dataclass(frozen=True, slots=True)
class TracedCall:
    """A call of ``name`` from ``start`` to ``end``, None where it does not return, in ``task`` if that is known."""

    name: str
    start: Position
    end: Position | None
    task: Task | None = None


def ftrace(calls: Iterable[TracedCall]) -> str:
    """The text of ``calls``, in the order of time; one that does not return has no end."""
    marks: list[tuple[Position, int, int, str]] = []
    for number, call in enumerate(sorted(calls, key=lambda call: call.start)):
        name = _word(call.name)
        marks.append((call.start, 1, number, _mark(call, call.start, f"B|{_process(call)}|{name}")))
        if call.end:
            # What was called last ends first.
            marks.append((call.end, 0, -number, _mark(call, call.end, f"E|{_process(call)}")))
    return _HEADER + "".join(line for *_, line in sorted(marks))


def _process(call: TracedCall) -> int:
    return call.task.tgid if call.task else 0


def _mark(call: TracedCall, position: Position, text: str) -> str:
    name, thread = (_word(call.task.comm), call.task.pid) if call.task else ("guest", 0)
    seconds, rest = divmod(position.icount, _BILLION)
    return f"{name:>16}-{thread:<7} ({_process(call):5}) [000] .... {seconds}.{rest:09d}: tracing_mark_write: {text}\n"


def _word(text: str) -> str:
    return "".join("_" if each.isspace() or each == "|" or not each.isprintable() else each for each in text) or "?"
