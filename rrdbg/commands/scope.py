"""In which address spaces and for which task a location counts, and how a hit says in which it was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from rrdbg.commands.session import Session
from rrdbg.engine.queries.predicates import FormulaPredicate, Predicate
from rrdbg.errors import UsageError
from rrdbg.model.hits.address_space import AddressSpace
from rrdbg.model.hits.bisection import Bisection
from rrdbg.model.hits.stop import Breakpoint
from rrdbg.model.hits.task_runs import TaskRuns
from rrdbg.model.program.scope import HERE, read_scope, read_task
from rrdbg.model.timeline.position import Position


@dataclass(frozen=True, slots=True)
class Wanted:
    """The words beside a location: in the address space at the cursor alone (``here``), for one ``task`` alone."""

    here: bool = False
    task: str = ""

    @classmethod
    def read(cls, text: str) -> tuple[str, Wanted]:
        """``text`` without those words, and what they say.

        :raises UsageError: they contradict each other.
        """
        text, task = read_task(text)
        text, here = read_scope(text, HERE)
        if task and here:
            raise UsageError("--task says whose hits count, in whatever address space they are; leave --here out.")
        return text, cls(here, task)


async def task_runs(session: Session, name: str, start: Position, end: Position) -> TaskRuns | None:
    """While the task called ``name`` runs, or, without a name, the one that 'task-scope' has set, if any.

    :raises UsageError: there is no such task.
    """
    return await session.linux.runs_of(name, start, end) if name else session.replay.spaces.task


async def bisection(
    session: Session, predicate: Predicate, start: Position, end: Position, task: str = ""
) -> tuple[Bisection, Predicate]:
    """A bisect between two positions, and ``predicate`` as it is asked there.

    For the task of that name, or the one that 'task-scope' has set, it is one of where this runs, and of its memory.

    :raises UsageError: there is no such task, or ``start`` is not before ``end``.
    """
    last = min(Position(end.icount + 1), session.replay.timeline.end)
    runs = await task_runs(session, task, start, last) if start < end else None
    if runs and isinstance(predicate, FormulaPredicate):
        predicate = FormulaPredicate(predicate.formula, await session.linux.own_memory())
    return Bisection.between(start, end, runs), predicate


@dataclass(slots=True)
class Scope:
    """Hits of one location: in the address space ``only``, or in all if that is None, and while ``task`` runs.

    They are ``told`` apart where it matters: where the location depends on the address space at the cursor, and from
    where a second one has been met, if it is no kernel's (``by_process``).
    """

    only: AddressSpace | None = None
    task: TaskRuns | None = None
    told: bool = False
    by_process: bool = False
    met: set[int | None] = field(default_factory=set)

    @classmethod
    async def at(cls, session: Session, address: int, wanted: Wanted, start: Position, end: Position) -> Scope:
        """The scope of a location at ``address``, as it is ``wanted``, for a search from ``start`` to ``end``.

        :raises UsageError: the address means the same in all, or there is no such task.
        """
        task = await task_runs(session, wanted.task, start, end)
        here = wanted.here
        space = await session.replay.space_of(address)
        if here and space is None:
            raise UsageError(
                f"No process's page tables decide here what is at {address:#x}, so --here says nothing; leave it out, "
                "or go to where the process runs."
            )
        return cls(space if here else None, task, space is not None and not here, not address >> 63)

    def bound(self, points: Iterable[Breakpoint]) -> list[Breakpoint]:
        """``points``, which count here alone."""
        return [replace(point, space=self.only, task=self.task) for point in points]

    @property
    def within(self) -> str:
        """Where alone hits count, in words; empty if they do everywhere."""
        space = f" in address space {self.only}" if self.only else ""
        return f"{space} in task {self.task}" if self.task else space

    def said(self, root: int | None) -> tuple[str, dict[str, str]]:
        """What a hit in the address space of ``root`` says of it, in words and as a field."""
        self.met.add(root)
        if root is None or not (self.told or (self.by_process and len(self.met) > 1)):
            return "", {}
        return f"  in address space {root:#x}", {"space": f"{root:#x}"}
