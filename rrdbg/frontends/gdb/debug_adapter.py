"""Reverse execution for front ends that speak the Debug Adapter Protocol with ``gdb -i dap``.

GDB's adapter has no request to go back (up to 18.1). It keeps requests and capabilities in a table to which anyone may
add before the front end asks for them, which from GDB 16 on is after ~/.gdbinit and ``-ex``. So front ends show their
buttons to step back and to run backwards, and learn of a jump that was made in the debug console.
"""

from __future__ import annotations

import sys
from typing import Any

import gdb


def is_spoken() -> bool:
    """True if this GDB was started with ``-i dap``."""
    return "gdb.dap.server" in sys.modules


def add_requests() -> None:
    """Add the requests ``stepBack`` and ``reverseContinue``, unless this GDB has them."""
    from gdb.dap.events import exec_and_expect_stop
    from gdb.dap.server import capability, request
    from gdb.dap.state import set_thread

    if "supportsStepBack" in getattr(sys.modules["gdb.dap.server"], "_capabilities", {}):
        return

    @capability("supportsStepBack")
    @request("stepBack", response=False)
    def step_back(*, threadId: int, granularity: str = "statement", **arguments: Any) -> None:  # noqa: N803
        set_thread(threadId)
        exec_and_expect_stop("reverse-stepi" if granularity == "instruction" else "reverse-next")

    @request("reverseContinue")
    def reverse_continue(*, threadId: int, **arguments: Any) -> None:  # noqa: N803
        set_thread(threadId)
        exec_and_expect_stop("reverse-continue &")


def announce_jump() -> None:
    """Have the front end ask for everything anew."""
    from gdb.dap.server import send_event

    thread = gdb.selected_thread()
    if thread:
        event = {"reason": "goto", "threadId": thread.global_num, "allThreadsStopped": True}
        send_event("stopped", event)
