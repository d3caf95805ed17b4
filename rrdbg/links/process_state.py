"""What a process is at, as Linux's ``/proc/PID/stat`` tells (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped by SIGSTOP, or by a debugger of its own, and so does nothing."""
    return _fields(pid)[:1] in (["T"], ["t"])


def is_asleep(pid: int) -> bool:
    """Whether a process, its first thread that is, waits for something to happen: a disk is none of these things."""
    return _fields(pid)[:1] == ["S"]


def cpu_seconds(pid: int) -> float:
    """What a process has used of processors so far, its threads together; 0 if that is not to be had."""
    fields = _fields(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if len(fields) > 12 else 0.0


def _fields(pid: int) -> list[str]:
    """All behind the program's name, from the state on; none if the process has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
