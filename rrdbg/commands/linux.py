"""Commands about a guest that runs Linux."""

from __future__ import annotations

from rrdbg.commands.arguments import nothing_more
from rrdbg.commands.registry import Category, Registry
from rrdbg.commands.session import Session
from rrdbg.engine.linux.kernel import no_kernel
from rrdbg.model.results import KernelInfo, Result, Tasks

LINUX = Registry()


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
    return KernelInfo(kernel.banner, kernel.build_id, kernel.base, kernel.seen, dict(kernel.offsets))


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
