"""Commands that tell about the guest, the recording and rrdbg itself."""

from __future__ import annotations

import asyncio

from rrdbg.commands.arguments import nothing_more
from rrdbg.commands.facts import recording_facts
from rrdbg.commands.registry import Category, Registry, Takes
from rrdbg.commands.session import Session
from rrdbg.errors import Interrupted, UsageError
from rrdbg.model.results import Clients, KnownHits, Message, Processes, Registers, Result, Snapshots, TimelineView

INSPECT = Registry()


@INSPECT.command(
    "info registers", Category.DATA, "Show the general registers, or those named.",
    arguments="[NAME...]", aliases=("i r", "info r"),
    takes=(Takes.REGISTER,), in_gdb=True,
    examples=("info registers", "info registers rip rsp"),
)  # fmt: skip
async def _info_registers(session: Session, text: str) -> Result:
    machine = await session.replay.machine()
    values = await session.replay.registers()
    layout = machine.register_file.registers
    names = [word.removeprefix("$") for word in text.split()]
    unknown = [name for name in names if name not in values]
    if unknown:
        raise UsageError(f"There is no register {unknown[0]}; 'info registers' lists them.")
    shown = names or [name for name in values if name in machine.register_file.general]
    return Registers({name: values[name] for name in shown}, {name: layout[name].size for name in shown})


@INSPECT.command(
    "info snapshots", Category.PLACES, "List the snapshots of the recording.",
    aliases=("info snap",), examples=("info snapshots",),
)  # fmt: skip
async def _info_snapshots(session: Session, text: str) -> Result:
    nothing_more(text, "info snapshots")
    replay = session.replay
    return Snapshots(replay.timeline.snapshots, replay.timeline.end, *replay.snapshot_room)


@INSPECT.command(
    "info hits", Category.PLACES, "Tell of which breakpoints and watchpoints it is known where they are hit.",
    details="What a search has looked at once is kept with the recording, and is not searched again: 'last', "
    "'writes', 'reverse-continue' and their kind answer from it. The points used last stand last.",
    examples=("info hits",),
)  # fmt: skip
async def _info_hits(session: Session, text: str) -> Result:
    nothing_more(text, "info hits")
    replay = session.replay
    length = max(replay.timeline.end.icount, 1)
    listed = replay.hits.index.points.items()
    return KnownHits(tuple((str(key), len(known.hits), known.instructions / length) for key, known in listed))


@INSPECT.command(
    "info recording",
    Category.PLACES,
    "Tell what was recorded, how, and how it ended.",
    examples=("info recording",),
)
async def _info_recording(session: Session, text: str) -> Result:
    nothing_more(text, "info recording")
    return recording_facts(session.replay.recording, session.replay.timeline, session.replay.confinement)


@INSPECT.command(
    "info timeline", Category.PLACES, "Show the recording as one line: snapshots, bookmarks and the cursor.",
    examples=("info timeline",),
)  # fmt: skip
async def _info_timeline(session: Session, text: str) -> Result:
    nothing_more(text, "info timeline")
    return TimelineView(session.replay.timeline, session.replay.position)


@INSPECT.command(
    "info processes", Category.SESSION, "List the QEMUs that run for this session, and what each is for.",
    details="The cursor's stands where you are. Spares were started while nothing moved, where the next movement will "
    "probably begin; 'rrdbg replay --spares N' tells how many there may be. Blanks wait to become any snapshot. A "
    "paused QEMU takes memory only, of what it shares with others its share.",
    examples=("info processes",),
)  # fmt: skip
async def _info_processes(session: Session, text: str) -> Result:
    nothing_more(text, "info processes")
    return Processes(session.replay.processes, session.replay.spare_limits)


@INSPECT.command(
    "info clients", Category.SESSION, "List the other sessions in this recording, and where the cursor of each is.",
    details="Each is called by the command of rrdbg's that it is: a shell ('replay'), a page ('web'), a server for GDB "
    "('serve', 'gdb'), an editor ('dap'), an agent ('mcp') or a script ('api'), with the number of its process.",
    examples=("info clients",),
)  # fmt: skip
async def _info_clients(session: Session, text: str) -> Result:
    nothing_more(text, "info clients")
    presence = session.replay.presence
    return Clients(tuple(presence.others()) if presence else (), session.replay.timeline.end)


@INSPECT.command(
    "snapshot", Category.PLACES, "Keep a snapshot here, so that coming back is quick.",
    arguments="[NAME]",
    details="Where the instruction count is shared by several states (an interrupt is being delivered) the "
    "snapshot is made just before.",
    examples=("snapshot", "snapshot before-oops"),
)  # fmt: skip
async def _snapshot(session: Session, text: str) -> Result:
    saved = await session.replay.snapshot(text or None)
    name = f" '{saved.name}'" if saved.name else ""
    return Message(f"Snapshot{name} at {saved.icount:,} ({saved.size / 1e6:.1f} MB).")


@INSPECT.command(
    "verify", Category.PLACES, "Prove the snapshots that nobody has proved yet, each by a second replay.",
    details="One that is not sound is dropped; a named one stays, and is not used. Ctrl-C keeps what was proved.",
    examples=("verify",),
)  # fmt: skip
async def _verify(session: Session, text: str) -> Result:
    nothing_more(text, "verify")
    replay = session.replay
    before = replay.timeline.snapshots
    session.interruptible = True
    try:
        while await replay.prove_next():
            pass
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
        raise Interrupted(f"Interrupted; {_soundness(session)}.") from None
    finally:
        session.interruptible = False
    dropped = len(before) - len(replay.timeline.snapshots)
    lost = f" {dropped} were not, and are dropped." if dropped else ""
    return Message(f"Verified: {_soundness(session)}.{lost}")


def _soundness(session: Session) -> str:
    snapshots = session.replay.timeline.snapshots
    return f"{sum(bool(known.sound) for known in snapshots)} of {len(snapshots)} snapshots are proved sound"


@INSPECT.command(
    "what-if", Category.SESSION, "Change the guest and let it run freely, in a copy that is thrown away.",
    arguments="on|off",
    details="From 'what-if on' to 'what-if off' registers and memory may be written, and the guest runs by itself, "
    "forward only. What it does then is not in the recording, which is found as it was left. It is driven by GDB.",
    words=("on", "off"),
    examples=("what-if on", "set var limit = 16", "what-if off"),
)  # fmt: skip
async def _what_if(session: Session, text: str) -> Result:
    if text not in ("on", "off"):
        raise UsageError("'what-if' is on or off.")
    if session.what_if is None:
        raise UsageError("A what-if is driven by GDB, and there is none here; leave out --no-gdb, or use 'rrdbg gdb'.")
    await session.what_if(text == "on")
    here = session.replay.position
    return Message(f"What-if from {here}." if text == "on" else f"Back in the recording, at {here}.")


@INSPECT.command(
    "web", Category.SESSION, "Show this session as a page in a browser, beside the shell.",
    arguments="on|off",
    details="The page and the shell have one cursor: where one of them goes the other is, too, and each waits for what "
    "the other has run. 'web on' prints the address, which only this machine can reach. Needs 'rrdbg[web]'.",
    words=("on", "off"),
    examples=("web on", "web off"),
)  # fmt: skip
async def _web(session: Session, text: str) -> Result:
    if text not in ("on", "off"):
        raise UsageError("'web' is on or off.")
    if session.web is None:
        raise UsageError(
            "Only the shell can show its session as a page: 'rrdbg replay', or 'rrdbg web' for a page alone."
        )
    return Message(await session.web(text == "on"))


@INSPECT.command("quit", Category.SESSION, "End the session.", aliases=("q", "exit"), examples=("quit",))
async def _quit(session: Session, text: str) -> None:
    session.over = True
