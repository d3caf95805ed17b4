"""Commands that look at the guest at every so many instructions: its stacks, and who ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from rrdbg.commands.arguments import read_address, read_bounds, read_stretch
from rrdbg.commands.listing import Listing
from rrdbg.commands.program import Names
from rrdbg.commands.registry import Category, Registry, Takes
from rrdbg.commands.scope import task_runs
from rrdbg.commands.session import Session
from rrdbg.engine.linux.kernel import kernel_of
from rrdbg.engine.linux.tasks import running_at
from rrdbg.engine.queries.levels import Level, levels
from rrdbg.engine.queries.profile import Sample, Who, profile
from rrdbg.engine.queries.sampling import instructions, spacing
from rrdbg.errors import UsageError
from rrdbg.model.program.function import Function
from rrdbg.model.program.scope import read_task
from rrdbg.model.results import Found, Message, Result, StackFrame, StackSample, SwitchSummary
from rrdbg.model.size import counted
from rrdbg.model.timeline.mark import Mark
from rrdbg.model.timeline.position import Position, parse_count

SAMPLES = Registry()

MOST_SAMPLES = 5_000
"""Of one question: each costs a millisecond or two, and a picture of them has no more pixels."""

_TOP = 5
_LONGEST_NAME = 200


@SAMPLES.command(
    "profile", Category.QUERIES, "List the guest's stack at every so many instructions, without stopping.",
    arguments="[FUNCTION] [from POSITION] [to POSITION] [--every N] [--task NAME|PID]", takes=(Takes.FUNCTION,),
    details="About a thousand stacks of the stretch, or one at every N instructions: exact, and the same each time. "
    "With FUNCTION only those in which it is called; with --task only those of one task of a Linux guest, or of any "
    "thread of the process with this number. The cursor stays. Ctrl-C keeps what was listed, and tells how to go on. "
    "The page ('rrdbg web') draws it as a flame chart, and 'rrdbg profile' writes it for other programs.",
    examples=("profile", "profile from 50% to 60%", "profile schedule from 90% --every 1000", "profile --task sh"),
)  # fmt: skip
async def _profile(session: Session, text: str) -> AsyncGenerator[Result, None]:
    text, task = read_task(text)
    text, every = _read_every(text)
    what, start, end = await read_stretch(session, f"profile {text}")
    names = await session.names()
    wanted = await _wanted(session, names, what.removeprefix("profile").strip())
    runs = await task_runs(session, task, start, end)
    whole = instructions(start, end, runs)
    every = every or spacing(whole)
    count = whole // every
    if count > MOST_SAMPLES:
        raise UsageError(
            f"These would be {count:,} stacks, and {MOST_SAMPLES:,} are the most; take --every "
            f"{spacing(whole):,}, or a shorter stretch."
        )
    taken, innermost = 0, Counter[str]()
    frames, who = names.program.frames if names.program else None, await who_runs(session)
    samples = profile(session.replay, every, start, end, frames, who, runs)
    listing = Listing(session, start)
    with listing.keeping():
        async with aclosing(samples):
            async for sample in samples:
                taken += 1
                named = await stack_sample(names, sample, every)
                listing.told(named.position)
                if not wanted or any(frame.function == wanted for frame in named.frames):
                    innermost[_first(named)] += 1
                    yield named
    told = innermost.total()
    of = f", and {wanted} is called in {told:,} of them" if wanted else ""
    by = f" in task {runs}" if runs else ""
    often = [(name, number / told) for name, number in innermost.most_common(_TOP) if number * 100 >= told]
    most = ", ".join(f"{name} ({share:.0%})" for name, share in often)
    yield Message(
        f"{counted(taken, 'stack')}, {counted(every, 'instruction')} apart, between {start} and {end}{by}{of}."
        + (f" Most often what ran is {most}." if most else "")
    )


async def _wanted(session: Session, names: Names, what: str) -> str:
    """The name that stacks have of the function ``what``, which may be written by its address; empty if none is.

    :raises UsageError: there is no such function, or nothing has a name there.
    :raises GdbError: GDB knows none of that name.
    """
    if not what or names.has(what):
        return what
    if what.startswith("*"):
        function = Function.read(what)
        address = function.entry if function else await read_address(session, what)
    else:
        # In a file of C++ or Rust it is called otherwise than GDB writes it.
        address = await session.symbols_for(what).number(f"&({what})")
    name, _ = await names.at(address)
    if not name:
        raise UsageError(f"No function is known at {address:#x}; name an ELF file with --symbols.")
    return name


def _read_every(text: str) -> tuple[str, int]:
    """``text`` without ``--every N``, and that number; 0 if it is not written.

    :raises UsageError: it is no number, or another option is written.
    """
    words, rest, every = text.split(), [], 0
    while words:
        word = words.pop(0)
        if word == "--every" and words:
            every = parse_count(words.pop(0))
            if every < 1:
                raise UsageError("Stacks are at least one instruction apart; write --every 1000000 or 1e6.")
        elif word.startswith("--"):
            raise UsageError(
                f"'{word}' is not understood; write profile [FUNCTION] [from ...] [to ...] [--every N] [--task ...]."
            )
        else:
            rest.append(word)
    return " ".join(rest), every


def _first(sample: StackSample) -> str:
    frame = sample.frames[0]
    return frame.function or f"{frame.address:#x}"


async def stack_sample(names: Names, sample: Sample, every: int) -> StackSample:
    """``sample``, of those that are ``every`` instructions apart, with the names of its functions."""
    frames = []
    for number, address in enumerate(sample.stack):
        # A caller's address is that of its call's return, which may lie behind the function.
        name, offset = await names.at(address - 1 if number else address)
        frames.append(StackFrame(address, name, offset + bool(number)) if name else StackFrame(address))
    return StackSample(sample.position, every, tuple(frames), sample.running)


async def who_runs(session: Session) -> Who | None:
    """What tells which task runs where a machine stands, if the guest's kernel was found."""
    if session.linux.known is None:
        return None
    try:
        reader = await session.linux.tasks()
    except UsageError:
        return None  # a kernel that does not tell how its tasks look: the stacks are there all the same
    return partial(running_at, reader=reader)


@SAMPLES.command(
    "info ran", Category.QUERIES, "Tell who ran: tasks of a Linux guest, else functions, else privilege levels.",
    arguments="[from POSITION] [to POSITION]",
    details="Of a Linux guest it is 'info switches', which is exact. Of any other the guest is looked at in about a "
    "thousand places of the stretch, which takes one pass: the function there, or where nothing has a name the "
    "privilege level. It is kept with the recording, and the timeline has it as a track. Ctrl-C keeps what was found.",
    examples=("info ran", "info ran from 90%"),
)  # fmt: skip
async def _info_ran(session: Session, text: str) -> AsyncGenerator[Result, None]:
    start, end = await read_bounds(session, text, "info ran")
    if await kernel_of(session.replay):  # where nothing tells of Linux it is not looked for
        known = await (await session.linux.switches()).ensure(start, end)
        yield SwitchSummary(tuple(known.summary(start, end)), len(known.between(start, end)), start, end)
        return
    every = spacing(instructions(start, end))
    names = await session.names()
    runs: list[Mark] = []
    listing = Listing(session, start)
    with listing.keeping():
        try:
            async with aclosing(levels(session.replay, every, start, end)) as looks:
                async for look in looks:
                    _extend(runs, look.position, await _who(names, look))
                    listing.told(look.position)
            listing.told(end)
        finally:
            if runs:
                runs[-1] = replace(runs[-1], last=listing.reached)
            session.replay.note_runs(start, listing.reached, runs)
    session.found.clear()
    for who, share, first in _shares(runs):
        # It is on the timeline already, from there on.
        session.found.append(first)
        yield Found(len(session.found), first, f"{share:6.1%}  {who}", {"who": who, "share": f"{share:.3f}"})
    yield Message(f"Who ran was looked at {counted(every, 'instruction')} apart, between {start} and {end}.")


async def _who(names: Names, look: Level) -> str:
    name, _ = await names.at(look.pc)
    return (name or look.privilege or f"{look.pc:#x}")[:_LONGEST_NAME]


def _extend(runs: list[Mark], position: Position, who: str) -> None:
    """Have the last of ``runs`` reach to ``position``, where a new one begins if it is somebody else's."""
    if runs:
        runs[-1] = replace(runs[-1], last=position)
    if not runs or runs[-1].text != who:
        runs.append(Mark(position, who))


def _shares(runs: Iterable[Mark]) -> list[tuple[str, float, Position]]:
    """Who ran, for which share of all, and where it was found first; who ran longest comes first."""
    lengths: Counter[str] = Counter()
    first: dict[str, Position] = {}
    for run in runs:
        lengths[run.text] += run.end.icount - run.position.icount
        first.setdefault(run.text, run.position)
    whole = max(lengths.total(), 1)
    return [(who, length / whole, first[who]) for who, length in lengths.most_common()]
