"""When a breakpoint counts, as bytecode that QEMU's plugin can judge as well as we can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rrdbg.model.hits.stop import Breakpoint
from rrdbg.model.program.agent import Expression


@dataclass(frozen=True, slots=True)
class Condition:
    """It counts where one of ``alternatives`` is not zero, or ``unclear`` says so and one cannot be told.

    They are judged in their order, up to the first that decides. Without any it always counts.
    """

    alternatives: Sequence[Expression] = ()
    unclear: bool = True

    @property
    def registers(self) -> frozenset[int]:
        """The numbers of the registers that it reads."""
        return frozenset().union(*(code.registers for code in self.alternatives))


@runtime_checkable
class Conditional(Protocol):
    """Who judges breakpoints by nothing but conditions."""

    def condition(self, point: Breakpoint) -> Condition:
        """When ``point`` counts."""
        ...


def conditional(judge: object) -> Conditional | None:
    """``judge`` if it is one that judges by conditions alone."""
    return judge if isinstance(judge, Conditional) else None
