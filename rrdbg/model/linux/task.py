"""Tasks: who runs, as Linux has it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

COMM_BYTES = 16
"""A task's name has at most 15 bytes."""

MEMBERS = (
    "task_struct.pid", "task_struct.tgid", "task_struct.comm", "task_struct.tasks", "task_struct.mm",
    "task_struct.signal", "task_struct.thread_node", "task_struct.real_parent", "task_struct.__state",
    "task_struct.state", "task_struct.exit_state", "task_struct.flags", "task_struct.stack",
    "task_struct.thread_info.preempt_count", "signal_struct.thread_head", "mm_struct.pgd",
    "pcpu_hot.current_task", "pcpu_hot.preempt_count", "mm_struct.saved_auxv",
    "module.list", "module.name", "module.state", "module.core_layout", "module_layout.base", "module_layout.size",
    "module.mem", "module_memory.base", "module_memory.size",
    "module.sect_attrs", "module_sect_attrs.nsections", "module_sect_attrs.attrs", "module_sect_attr",
    "module_sect_attr.address", "module_sect_attr.battr",
    "module.kallsyms", "mod_kallsyms.symtab", "mod_kallsyms.num_symtab", "mod_kallsyms.strtab",
    "mod_kallsyms.typetab",
)  # fmt: skip
"""The members of the kernel's structures that are read."""

ADDRESSES = (
    "__switch_to", "init_task", "__per_cpu_offset", "current_task", "pcpu_hot", "__preempt_count", "__entry_task",
    "vmcoreinfo_data", "vmcoreinfo_size", "vmcoreinfo_note", "do_syscall_64", "do_el0_svc", "do_trap_ecall_u",
    "sys_call_table", "modules", "__set_task_comm",
)  # fmt: skip
"""The functions and variables that are used."""

_HARD_OR_NMI, _SOFT = 0x00FF_0000, 0x100


class Mode(StrEnum):
    """What a processor does for a task: its own code, the kernel's for it, or an interrupt's, which came meanwhile."""

    USER = "user"
    KERNEL = "kernel"
    INTERRUPT = "interrupt"


@dataclass(frozen=True, slots=True)
class Task:
    """A task as it was at some position: a thread ``pid`` of the process ``tgid``, called ``comm``.

    ``address`` is that of its ``task_struct``.
    """

    pid: int
    tgid: int
    comm: str
    address: int

    def __str__(self) -> str:
        return f"{self.comm}[{self.pid}]"

    def is_called(self, wanted: str) -> bool:
        """Whether ``wanted``, a name or a number, means this task; a process' number means all of its threads."""
        if wanted.isdecimal():
            return int(wanted) in (self.pid, self.tgid)
        return self.comm == wanted


@dataclass(frozen=True, slots=True)
class Running:
    """Who runs at a position, and how."""

    task: Task
    mode: Mode

    def __str__(self) -> str:
        return f"{self.task}, {self.mode}"


def mode_of(*, user: bool, preempt_count: int) -> Mode:
    """The mode by whether the processor is in user mode, and by the kernel's own count of what may not be preempted."""
    if user:
        return Mode.USER
    return Mode.INTERRUPT if preempt_count & _HARD_OR_NMI or preempt_count & _SOFT else Mode.KERNEL


def read_comm(raw: bytes) -> str:
    """A name as the kernel stores it; what would not print is shown as a question mark."""
    text = raw.partition(b"\0")[0].decode(errors="replace")
    return "".join(character if character.isprintable() else "?" for character in text)


_STATES = ((1, "S"), (2, "D"), (4, "T"), (8, "t"), (64, "P"), (128, "I"))
_ZOMBIE, _DEAD = 32, 16
_IDLE = 0x402


@dataclass(frozen=True, slots=True)
class ListedTask:
    """A task as ``ps`` shows it: the process that it is a child of, and a letter for its state."""

    task: Task
    parent: int
    state: str
    is_kernel: bool


def state_letter(state: int, exit_state: int) -> str:
    """R runs or waits for the processor, S sleeps, D not to be woken, I an idle kernel thread, T stopped, Z ended."""
    if exit_state & _ZOMBIE:
        return "Z"
    if exit_state & _DEAD:
        return "X"
    if state & _IDLE == _IDLE:
        return "I"
    return next((letter for bit, letter in _STATES if state & bit), "R")
