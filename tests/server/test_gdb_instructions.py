"""A real GDB, told to go back and forth at random, stands each time where the forward list says.

RRDBG_OPERATIONS sets the number of operations (90), RRDBG_SEED another sequence of them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from tests.oracle import Oracle
from tests.server.conftest import Debugger, debugging

OPERATIONS = int(os.environ.get("RRDBG_OPERATIONS", "90"))
SEED = int(os.environ.get("RRDBG_SEED", "1"))

Operation = Callable[[], Awaitable[int | None]]


class Walk:
    """A random walk of ``debugger`` on ``oracle``; ``index`` is where it should stand.

    ``variables`` are what may be watched: expressions and the addresses by which ``oracle`` knows them.
    """

    def __init__(self, debugger: Debugger, oracle: Oracle, variables: dict[str, int], chance: random.Random) -> None:
        self._debugger = debugger
        self._oracle = oracle
        self._variables = variables
        self._chance = chance
        self.index = 0
        self.trace: list[str] = []

    @property
    def operations(self) -> Sequence[Operation]:
        """What may be done; each tells where it should lead, or None if nothing was done."""
        return (
            self._stepi,
            self._stepi,
            self._seek,
            self._breakpoints,
            self._breakpoints,
            self._condition,
            self._watch,
        )

    async def once(self) -> bool:
        """Do one operation and check its result; false if chance picked one that leads out of the stretch."""
        goal = await self._chance.choice(self.operations)()
        if goal is None:
            return False
        self.index = goal
        await self._check()
        return True

    async def _check(self) -> None:
        entry, debugger, trace = self._oracle[self.index], self._debugger, "\n".join(self.trace[-8:])
        assert debugger.replay.position == entry.position, trace
        values = self._oracle.registers(self.index)
        for name in ("rip", "rsp", "rax", "rcx", "rdi"):
            assert await debugger.number(f"${name}") == values[name], f"{name} after\n{trace}"
        for address, value in entry.memory.items():
            assert await debugger.number(f"*(long*){address}") == int.from_bytes(value, "little"), trace

    async def _move(self, line: str) -> str:
        self.trace.append(f"[{self.index}] {line}")
        reason = await self._debugger.move(line)
        self.trace[-1] += f" -> {reason}"
        return reason

    async def _seek(self) -> int:
        goal = self._chance.randrange(len(self._oracle))
        self.trace.append(f"seek [{goal}]")
        await self._debugger.seek(self._oracle[goal].position)
        return goal

    async def _stepi(self) -> int | None:
        forward, count = self._chance.random() < 0.4, self._chance.choice((1, 1, 2, 7, 40))
        goal = self.index + count if forward else self.index - count
        if not 0 <= goal < len(self._oracle):
            return None
        await self._move(f"{'' if forward else 'reverse-'}stepi {count}")
        return goal

    async def _breakpoints(self) -> int | None:
        forward = self._chance.random() < 0.4
        picks = [self._chance.randrange(len(self._oracle)) for _ in range(self._chance.choice((1, 1, 2)))]
        addresses = {self._oracle[pick].pc for pick in picks}
        return await self._run_to(forward, addresses, lambda index: self._oracle[index].pc in addresses, "")

    async def _condition(self) -> int | None:
        forward = self._chance.random() < 0.4
        pick = self._chance.randrange(len(self._oracle))
        address, value = self._oracle[pick].pc, self._oracle.registers(pick)["rax"]

        def holds(index: int) -> bool:
            return self._oracle[index].pc == address and self._oracle.registers(index)["rax"] == value

        return await self._run_to(forward, {address}, holds, f" if $rax == {value}ull")

    async def _run_to(
        self, forward: bool, addresses: set[int], holds: Callable[[int], bool], condition: str
    ) -> int | None:
        goal = self._expected(forward, addresses, holds)
        if goal is None:
            return None
        verb = self._chance.choice(("break", "hbreak", "tbreak")) if not condition else "break"
        for address in addresses:
            await self._debugger.gdb.console(f"{verb} *{address:#x}{condition}")
        self.trace.append(f"{verb} {', '.join(map(hex, addresses))}{condition}")
        reason = await self._move("continue" if forward else "reverse-continue")
        assert reason == "breakpoint-hit", "\n".join(self.trace[-8:])
        await self._debugger.gdb.console("delete")
        return goal

    def _expected(self, forward: bool, addresses: set[int], holds: Callable[[int], bool]) -> int | None:
        """Where GDB should stop: it steps off a breakpoint that it stands on, and looks; then it lets the guest run."""
        index, step = self.index, 1 if forward else -1
        if self._oracle[index].pc in addresses:
            index += step
            if 0 < index < len(self._oracle) and holds(index):
                return index
        hits = [hit for hit in self._oracle.hits(*addresses) if holds(hit)]
        ahead = [hit for hit in hits if hit > index] if forward else [hit for hit in hits if hit < index]
        return (ahead[0] if forward else ahead[-1]) if ahead else None

    async def _watch(self) -> int | None:
        forward = self._chance.random() < 0.4
        name = self._chance.choice(list(self._variables))
        changes = self._oracle.changes(self._variables[name])
        ahead = [c for c in changes if c >= self.index] if forward else [c for c in changes if c < self.index]
        if not ahead:
            return None
        change = ahead[0] if forward else ahead[-1]
        await self._debugger.gdb.console(f"watch {name}")
        reason = await self._move("continue" if forward else "reverse-continue")
        assert reason == "watchpoint-trigger", "\n".join(self.trace[-8:])
        await self._debugger.gdb.console("delete")
        return change + 1 if forward else change


@pytest.fixture(params=["busy", "exceptional"])
def oracle(request: pytest.FixtureRequest) -> Oracle:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Oracle)
    return found


async def test_a_random_walk(
    oracle: Oracle, workload: Path, workload_guest: Path, watched: dict[int, int], tmp_path: Path
) -> None:
    variables = dict(zip(("counter", "ring[0]"), watched, strict=True))
    async with debugging(workload, workload_guest, tmp_path) as debugger:
        walk = Walk(debugger, oracle, variables, random.Random(SEED))
        await debugger.seek(oracle[0].position)
        done = 0
        while done < OPERATIONS // 2:
            done += await walk.once()
