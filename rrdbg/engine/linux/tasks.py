"""Who runs where a machine stands, and which tasks there are: read from the kernel's own structures.

The running task is the one that the kernel itself takes for it: on x86 and AArch64 a per-CPU variable, on RISC-V a
register. There is one CPU, so per-CPU variables lie at the first offset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from rrdbg.engine.linux.memory import KernelMemory
from rrdbg.links.machine import Machine
from rrdbg.model.linux.kernel import Kernel
from rrdbg.model.linux.task import COMM_BYTES, ListedTask, Running, Task, mode_of, read_comm, state_letter

MOST_TASKS = 100_000
_KERNEL_HALF = 1 << 63
_MASK = (1 << 64) - 1
_NEEDED = ("task_struct.pid", "task_struct.tgid", "task_struct.comm")


class Reads(Protocol):
    """Reads the kernel's memory."""

    def number(self, address: int, size: int = 8) -> int | None:
        """The unsigned number at an address; None where nothing is mapped."""

    def read(self, address: int, length: int) -> bytes:
        """The bytes at an address, as far as they are mapped."""


@dataclass(frozen=True, slots=True)
class TaskReader:
    """Reads tasks of ``kernel``."""

    kernel: Kernel

    @property
    def knows_tasks(self) -> bool:
        """Whether it is known how a task looks; a kernel without BTF does not tell."""
        return all(name in self.kernel.offsets for name in _NEEDED)

    def variable(self, memory: Reads) -> int | None:
        """The address of the variable that points to the running task; None where there is none."""
        name, inside = next(
            (
                (name, member)
                for name, member in (
                    ("__entry_task", ""),
                    ("pcpu_hot", "pcpu_hot.current_task"),
                    ("current_task", ""),
                )
                if name in self.kernel.addresses and (not member or member in self.kernel.offsets)
            ),
            ("", ""),
        )
        return self._percpu(memory, name, self.kernel.offsets.get(inside, 0)) if name else None

    def task(self, memory: Reads, address: int) -> Task | None:
        """The task whose structure is at ``address``; None if there cannot be one."""
        offsets = self.kernel.offsets
        if not address & _KERNEL_HALF:
            return None
        pid = memory.number(address + offsets["task_struct.pid"], 4)
        tgid = memory.number(address + offsets["task_struct.tgid"], 4)
        comm = memory.read(address + offsets["task_struct.comm"], COMM_BYTES)
        return None if pid is None or tgid is None else Task(pid, tgid, read_comm(comm), address)

    def current(self, memory: Reads, registers: dict[str, int]) -> int | None:
        """The address of the running task's structure."""
        if "priv" in registers:
            return {0: registers.get("sscratch"), 1: registers.get("tp")}.get(registers["priv"])
        variable = self.variable(memory)
        found = memory.number(variable) if variable else None
        # AArch64 has none there before the first switch.
        return found or self.kernel.addresses.get("init_task")

    def running(self, memory: Reads, registers: dict[str, int]) -> Running | None:
        """Who runs, and how; None before the kernel has begun."""
        address = self.current(memory, registers)
        task = self.task(memory, address) if address else None
        if task is None:
            return None
        return Running(task, mode_of(user=_is_user(registers), preempt_count=self._preempt_count(memory, task)))

    def listed(self, memory: Reads) -> Iterator[ListedTask]:
        """All tasks, processes in the order of their making, each with its threads."""
        offsets, init = self.kernel.offsets, self.kernel.addresses.get("init_task")
        if init is None or "task_struct.tasks" not in offsets:
            return
        seen = set[int]()
        for leader in chained(memory, init + offsets["task_struct.tasks"], offsets["task_struct.tasks"]):
            for address in (leader, *self._threads(memory, leader)):
                if address in seen or len(seen) >= MOST_TASKS:
                    continue
                seen.add(address)
                if task := self.task(memory, address):
                    yield self._told(memory, task)

    def _told(self, memory: Reads, task: Task) -> ListedTask:
        offsets = self.kernel.offsets

        def member(name: str, size: int = 8) -> int:
            offset = offsets.get(f"task_struct.{name}")
            return (memory.number(task.address + offset, size) or 0) if offset is not None else 0

        parent = member("real_parent")
        above = self.task(memory, parent) if parent else None
        state = member("__state", 4) if "task_struct.__state" in offsets else member("state")
        letter = state_letter(state, member("exit_state", 4))
        return ListedTask(task, above.tgid if above else 0, letter, is_kernel=not member("mm"))

    def _threads(self, memory: Reads, leader: int) -> Iterator[int]:
        offsets = self.kernel.offsets
        if "signal_struct.thread_head" not in offsets or "task_struct.thread_node" not in offsets:
            return
        signal = memory.number(leader + offsets["task_struct.signal"])
        if signal and signal & _KERNEL_HALF:
            node = offsets["task_struct.thread_node"]
            head = signal + offsets["signal_struct.thread_head"]
            yield from chained(memory, head, node, with_head=False)

    def _percpu(self, memory: Reads, name: str, inside: int = 0) -> int | None:
        """Where the first CPU's copy of a variable lies."""
        table = self.kernel.addresses.get("__per_cpu_offset")
        offset = memory.number(table) if table else 0
        return None if offset is None else (self.kernel.addresses[name] + offset + inside) & _MASK

    def _preempt_count(self, memory: Reads, task: Task) -> int:
        offsets, addresses = self.kernel.offsets, self.kernel.addresses
        place: int | None = None
        if "task_struct.thread_info.preempt_count" in offsets:
            place = task.address + offsets["task_struct.thread_info.preempt_count"]
        elif "pcpu_hot.preempt_count" in offsets:
            place = self._percpu(memory, "pcpu_hot", offsets["pcpu_hot.preempt_count"])
        elif "__preempt_count" in addresses:
            place = self._percpu(memory, "__preempt_count")
        return (memory.number(place, 4) or 0) if place else 0


def chained(memory: Reads, head: int, member: int, *, with_head: bool = True) -> Iterator[int]:
    """The structures of a ring of list_heads that begins at ``head``; a damaged one ends where it leads nowhere."""
    if with_head:
        yield head - member
    node = head
    for _ in range(MOST_TASKS):
        following = memory.number(node)
        if following is None or following == head or not following & _KERNEL_HALF:
            return
        yield following - member
        node = following


def _is_user(registers: dict[str, int]) -> bool:
    if "cs" in registers:
        return registers["cs"] & 3 == 3
    if "cpsr" in registers:
        return registers["cpsr"] & 0xF == 0
    return registers.get("priv") == 0


async def control_registers(machine: Machine) -> dict[str, int]:
    """The registers that :class:`TaskReader` looks at, also those that a ``g`` packet leaves out."""
    registers = await machine.registers()
    if "satp" in machine.register_file.registers:
        for name in ("priv", "sscratch"):
            value = await machine.register(name)
            if value is not None:
                registers[name] = value
    return registers


async def running_at(machine: Machine, reader: TaskReader) -> Running | None:
    """Who runs where ``machine`` stands; None where the kernel is not there yet.

    :raises LinkError: QEMU's memory cannot be read here.
    """
    memory = await KernelMemory.of(machine)
    if memory is None:
        return None
    with memory:
        return reader.running(memory, await control_registers(machine))
