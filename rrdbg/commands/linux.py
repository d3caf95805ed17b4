"""Commands about a guest that runs Linux."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from rrdbg.commands.arguments import nothing_more, read_bounds
from rrdbg.commands.registry import Category, Registry, Takes
from rrdbg.commands.session import Session
from rrdbg.engine.linux.kernel import no_kernel
from rrdbg.engine.linux.syscalls import syscalls
from rrdbg.errors import HostError, UsageError
from rrdbg.links.elf import read_program
from rrdbg.links.type_file import make_type_file
from rrdbg.model.linux.kallsyms import Kallsyms
from rrdbg.model.linux.mapped import Module
from rrdbg.model.linux.symbol_file import make_symbol_file
from rrdbg.model.program.scope import read_task
from rrdbg.model.results import (
    KernelInfo,
    LoadedModule,
    Message,
    Modules,
    Result,
    SwitchSummary,
    SymbolsAt,
    Tasks,
)

LINUX = Registry()

_TYPES = "types"


@LINUX.command(
    "info kernel", Category.DATA, "Tell which Linux kernel the guest runs, and where it lies (KASLR).",
    details="It is found once, by its own tables of symbols (kallsyms), and kept with the recording; the names of its "
    "functions and variables are GDB's from then on, without any debug information. A vmlinux named with --symbols is "
    "moved to where the kernel lies.",
    examples=("info kernel",),
)  # fmt: skip
async def _info_kernel(session: Session, text: str) -> Result:
    nothing_more(text, "info kernel")
    kernel = await session.linux.look()
    if kernel is None:
        raise no_kernel(session.replay)
    return KernelInfo(
        kernel.banner, kernel.build_id, kernel.base, kernel.seen, dict(kernel.offsets), dict(kernel.addresses)
    )


@LINUX.command(
    "info tasks", Category.DATA, "List the tasks of a Linux guest at the cursor, as ps would have done there.",
    details="Processes in the order of their making, each with its threads; kernel threads in brackets. States are "
    "ps's: R runs or waits for the processor, S sleeps, D is not to be woken, I is an idle kernel thread, T is "
    "stopped, Z has ended. A star marks the one that runs.",
    examples=("info tasks",),
)  # fmt: skip
async def _info_tasks(session: Session, text: str) -> Result:
    nothing_more(text, "info tasks")
    return Tasks(tuple(await session.linux.listed()), await session.linux.running())


@LINUX.command(
    "info modules", Category.DATA, "List the modules of a Linux guest's kernel that are loaded at the cursor.",
    details="'symbols MODULE' gives GDB their names.",
    examples=("info modules",),
)  # fmt: skip
async def _info_modules(session: Session, text: str) -> Result:
    nothing_more(text, "info modules")
    return Modules(tuple(LoadedModule(each.name, each.base, each.size) for each in await session.linux.modules()))


@LINUX.command(
    "symbols", Category.DATA, "Read a program's, a library's or a module's symbols where a Linux guest has it.",
    arguments="[FILE|MODULE|types] [--task NAME|PID]", takes=(Takes.TEXT,),
    details="FILE is an ELF file of this host: a program or library that the running task, or the one named, has "
    "mapped at the cursor, or a kernel's module (.ko) that is loaded there. It is known by its build id, or its name. "
    "Of a MODULE without a file the names are those that the kernel has itself, in the shell. GDB finds separate debug "
    "files by itself. 'types' are the types of the kernel's structures, as it describes them itself (BTF); bpftool and "
    "a C compiler bring them into GDB's form. Without FILE, what the task has mapped is listed. Where something lies "
    "elsewhere at another position, give the command anew.",
    examples=(
        "symbols", "symbols build/server --task server", "symbols libc.so.6", "symbols buggy.ko", "symbols types",
    ),
)  # fmt: skip
async def _symbols(session: Session, text: str) -> Result:
    what, who = read_task(text)
    if not what:
        task, mapped = await session.linux.programs(who)
        return Message("\n".join([f"{task} has mapped:", *(f"  {each.offset:#14x}  {each.name}" for each in mapped)]))
    path = Path(what).expanduser().absolute()
    if not path.is_file():
        return await (_types(session) if what == _TYPES else _module_symbols(session, what))
    file = await asyncio.to_thread(read_program, path)
    if file.is_module:
        module = await _module(session, path.name.partition(".")[0].replace("-", "_"))
        return await _loaded(
            session, f"{module.name} lies at {module.base:#x}", file.path, module.line_to_load(file.path)
        )
    task, offset = await session.linux.place_of(file, who)
    return await _loaded(session, f"{task} has {path.name} at {offset:#x}", file.path, file.line_to_move(offset))


async def _types(session: Session) -> Result:
    recording = session.replay.recording
    place = recording.aside.place_of(Path("types.elf"))
    if not place.exists():
        types = await session.linux.types()
        try:
            await make_type_file(types.data, types.names, recording.manifest.invocation.architecture, place)
        except OSError as error:
            raise HostError.of(error, f"Cannot write {place}") from None
    line = f'with confirm off -- add-symbol-file "{place}" -o 0'
    return await _loaded(session, "The kernel's structures have the types that it describes itself", str(place), line)


async def _module_symbols(session: Session, name: str) -> Result:
    module = await _module(session, name)
    if not module.symbols:
        raise UsageError(f"The kernel keeps no names of {name}; give its file, {name}.ko.")
    architecture = session.replay.recording.manifest.invocation.architecture
    content = make_symbol_file(Kallsyms(module.symbols), architecture)
    await session.symbols_for(name, f"the file {name}.ko").load_made(name, content)
    return Message(f"{len(module.symbols):,} names of {name}, which lies at {module.base:#x}.")


async def _module(session: Session, name: str) -> Module:
    modules = await session.linux.modules()
    found = next((module for module in modules if module.name == name), None)
    if found is None:
        raise UsageError(f"There is no file {name}, and no module of that name is loaded here ('info modules').")
    return found


async def _loaded(session: Session, text: str, path: str, line: str) -> Result:
    if session.symbols is None:
        return SymbolsAt(text, path, line, loaded=False)
    await session.symbols.load(path, line)
    return SymbolsAt(text, path, line, loaded=True)


@LINUX.command(
    "info switches", Category.QUERIES, "Tell which tasks of a Linux guest have run, how often and how long.",
    arguments="[from POSITION] [to POSITION]",
    details="The switches from one task to another are found in one pass, by QEMU's plugin if it can be had ('info "
    "accelerator'), and kept with the recording: later only what was not looked at is. From then on each line of "
    "'calls', 'tprintf', 'writes' and their kind says in which task it was. Ctrl-C keeps what was found.",
    examples=("info switches", "info switches from 50% to 60%"),
)  # fmt: skip
async def _info_switches(session: Session, text: str) -> Result:
    start, end = await read_bounds(session, text, "info switches")
    known = await (await session.linux.switches()).ensure(start, end)
    return SwitchSummary(tuple(known.summary(start, end)), len(known.between(start, end)), start, end)


@LINUX.command(
    "next-switch", Category.RUNNING, "Go on to where a Linux guest switches to another task, or to the one named.",
    arguments="[NAME|PID]", repeats=True, takes=(Takes.TEXT,),
    details="The cursor is left behind the instruction that makes the other task the running one. A process' number "
    "means all of its threads.",
    examples=("next-switch", "next-switch kswapd0", "next-switch 42"),
)  # fmt: skip
async def _next_switch(session: Session, text: str) -> Result:
    switch = await (await session.linux.switches()).following(session.replay.position, text)
    return await session.stopped(await session.replay.seek(switch.position))


@LINUX.command(
    "previous-switch", Category.RUNNING, "Go back to where a Linux guest has switched tasks, or to the one named.",
    arguments="[NAME|PID]", repeats=True, takes=(Takes.TEXT,),
    details="The cursor is left as by 'next-switch'.",
    examples=("previous-switch", "previous-switch sh"),
)  # fmt: skip
async def _previous_switch(session: Session, text: str) -> Result:
    switch = await (await session.linux.switches()).preceding(session.replay.position, text)
    return await session.stopped(await session.replay.seek(switch.position))


@LINUX.command(
    "seek task", Category.RUNNING, "Go to where a task of a Linux guest runs next, or for the first time.",
    arguments="NAME|PID", takes=(Takes.TEXT,),
    details="Where it does not run again after the cursor this goes to where it runs first, and says so.",
    examples=("seek task sh", "seek task 1"),
)  # fmt: skip
async def _seek_task(session: Session, text: str) -> list[Result]:
    if not text:
        raise UsageError("'seek task' needs a name or a number; 'info tasks' and 'info switches' list them.")
    finder, here = await session.linux.switches(), session.replay.position
    switch = await finder.following_or_first(here, text)
    again = switch.position > here
    stopped = await session.stopped(await session.replay.seek(await finder.named_at(switch)))
    return [stopped] if again else [Message(f"{text} does not run again after {here}; here it runs first."), stopped]


@LINUX.command(
    "strace", Category.QUERIES, "List the system calls that the programs of a Linux guest have made.",
    arguments="[--task NAME|PID] [--syscall NAME] [from POSITION] [to POSITION]", takes=(Takes.TEXT,),
    details="Nobody needs to have traced them. Each line has the position where the call begins, its arguments, what "
    "it gave, and in how many instructions, those of other tasks that ran meanwhile included; it comes when the call "
    "has come back, or last. 'seek @NUMBER' goes there. Of x86-64, aarch64 and, from Linux 6.5 on, riscv64 guests; "
    "calls of 32-bit programs are left out. "
    "It takes some milliseconds a call, of whatever task; with --task only while that one lives is looked at.",
    examples=("strace", "strace --task sh from 90%", "strace --syscall openat", "> calls.csv strace --task 1"),
)  # fmt: skip
async def _strace(session: Session, text: str) -> AsyncGenerator[Result, None]:
    text, task = read_task(text)
    name, rest = _syscall(text)
    start, end = await read_bounds(session, rest, "strace")
    reader = await session.linux.tasks()
    session.found.clear()
    low, high = await session.linux.life_of(task, start, end) if task else (start, end)
    found = syscalls(session.replay, reader, low, high, task=task, name=name)
    async with aclosing(found):
        async for call in found:
            fields = {
                "task": call.task.comm, "pid": str(call.task.pid), "syscall": call.name,
                "arguments": call.shown_arguments, "result": call.shown_result,
                "instructions": "" if call.duration is None else str(call.duration),
            }  # fmt: skip
            lasted = "" if call.duration is None else f"  <{call.duration:,}>"
            yield session.note(call.position, f"{call.task}  {call}{lasted}", fields, named=True)
    yield Message(f"{len(session.found):,} system calls began between {start} and {end}.")


def _syscall(text: str) -> tuple[str, str]:
    """The value of ``--syscall``, empty if it is not written, and the rest of the line.

    :raises UsageError: there is another option, or one without its value.
    """
    words, rest, name = text.split(), [], ""
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            rest.append(word)
        elif word == "--syscall" and words:
            name = words.pop(0)
        else:
            raise UsageError(f"'{word}' is not understood; write strace [--task NAME|PID] [--syscall NAME].")
    return name, " ".join(rest)
