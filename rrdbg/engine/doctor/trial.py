"""What a thorough trial of a guest tells, as findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rrdbg.engine.making.recorder import RecordRequest
from rrdbg.engine.making.trial import Stage, Tried, try_out
from rrdbg.errors import Interrupted, RrdbgError
from rrdbg.model.machine.findings import Finding, good, note, wrong

SECONDS = 3.0
"""How long the guest is recorded, unless it ends before."""

_ADVICE = "Leave devices out, one after another."


async def try_guest(command: Sequence[str], shift: str, say: Callable[[str], None]) -> list[Finding]:
    """Record ``command``, replay and jump, all in a temporary folder; ``say`` is told what is being done."""
    try:
        tried = await try_out(RecordRequest(command, Path(), shift), SECONDS, thorough=True, say=say)
    except Interrupted:
        raise
    except RrdbgError as error:
        return [wrong("trial", f"It fails: {error}", "See what is said there, and change the command line.")]
    return list(_findings(tried))


def _findings(tried: Tried) -> Iterator[Finding]:
    recorded = tried.recorded
    yield good(
        "trial", f"{recorded.icount:,} instructions were recorded in {recorded.seconds:.1f} s; {recorded.ended}."
    )
    if not recorded.end:
        yield wrong("trial", "The guest executed nothing.", "Look at what it boots from.")
        return
    why = tried.why.rstrip(".")
    if tried.failed is Stage.REPLAY:
        yield wrong("replay", f"It does not replay: {why}.", _ADVICE)
        return
    if tried.failed is Stage.AGAIN:
        yield wrong("replay", f"A second replay is another one: {why}.", _ADVICE)
        return
    yield good("replay", f"Two replays came to the same state at {tried.end:,}.")
    if tried.saved is None:
        yield note("jump", "QEMU can save no snapshot of this guest here; jumps start at the beginning.")
    elif tried.failed is Stage.JUMP:
        yield wrong("jump", f"From a snapshot at {tried.saved:,} the guest goes another way: {why}.", _ADVICE)
    else:
        yield good("jump", f"From a snapshot at {tried.saved:,} the guest came to that state, too.")
