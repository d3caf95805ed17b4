"""Commands about a guest that runs Linux."""

from __future__ import annotations

from rrdbg.commands.arguments import nothing_more
from rrdbg.commands.registry import Category, Registry
from rrdbg.commands.session import Session
from rrdbg.engine.linux.kernel import kernel_of, no_kernel
from rrdbg.model.linux.kernel import Kernel
from rrdbg.model.results import KernelInfo, Result

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
    kernel = await found_kernel(session)
    return KernelInfo(kernel.banner, kernel.build_id, kernel.base, kernel.seen, dict(kernel.offsets))


async def found_kernel(session: Session) -> Kernel:
    """The guest's kernel.

    :raises UsageError: there is none that is known here.
    """
    kernel = await kernel_of(session.replay, anyway=True)
    if kernel is None:
        raise no_kernel(session.replay)
    return kernel
