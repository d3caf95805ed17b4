"""Samples of stacks in the forms that viewers of profiles read.

``perf script``'s text opens in Perfetto, the Firefox Profiler, speedscope and FlameGraph, and gprof2dot reads it. Its
times are seconds: here a nanosecond is an instruction, so that a time without its point is the position. Collapsed
stacks, a line for each, have no times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rrdbg.model.linux.task import Mode
from rrdbg.model.results import StackFrame, StackSample

_NOBODY = "guest"
_UNKNOWN = "[unknown]"
_KERNEL_HALF = 1 << 63
_BILLION = 1_000_000_000


def perf_script(sample: StackSample) -> str:
    """``sample`` as ``perf script`` prints one, the empty line behind it included."""
    task = sample.running.task if sample.running else None
    name, numbers = (_word(task.comm), f"{task.tgid}/{task.pid}") if task else (_NOBODY, "0/0")
    seconds, rest = divmod(sample.position.icount, _BILLION)
    lines = [f"{name} {numbers} [000] {seconds}.{rest:09d}: {sample.instructions} instructions:"]
    lines += (f"\t{frame.address:16x} {_named(frame)} ({_owner(frame, sample)})" for frame in sample.frames)
    return "\n".join([*lines, "", ""])


def collapsed(samples: Iterable[StackSample]) -> str:
    """A line for each stack among ``samples``, outermost frame first, and how many instructions it stands for."""
    counted: Counter[str] = Counter()
    for sample in samples:
        name = _word(sample.running.task.comm) if sample.running else _NOBODY
        counted[";".join([name, *(_function(frame) for frame in reversed(sample.frames))])] += sample.instructions
    return "".join(f"{stack} {count}\n" for stack, count in sorted(counted.items()))


def _named(frame: StackFrame) -> str:
    return f"{_function(frame)}+{frame.offset:#x}" if frame.function else _UNKNOWN


def _function(frame: StackFrame) -> str:
    return _word(frame.function) if frame.function else _UNKNOWN


def _owner(frame: StackFrame, sample: StackSample) -> str:
    if frame.address & _KERNEL_HALF or (sample.running and sample.running.mode is not Mode.USER):
        return "[kernel.kallsyms]"
    return _UNKNOWN if sample.running else "[guest]"


def _word(text: str) -> str:
    """What holds together in both forms."""
    return "".join("_" if each.isspace() or each == ";" or not each.isprintable() else each for each in text) or "?"
