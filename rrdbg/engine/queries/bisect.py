"""Find the first position where a predicate holds: by halving down to an instruction, by stepping over the rest.

Probes go to plain icounts, where one number names one state; snapshots come first, and travel leaves more of them on
its way. What lies between the last two plain icounts, deliveries of interrupts and exceptions, is stepped through.
Where asking costs no more than a step (memory, compiled expressions), the last :data:`STRIDE` instructions are stepped,
too: a probe by a new QEMU costs as much as some hundred of them.

Of one task alone only the positions are probed and stepped through at which it runs. If it has ended before the bad end
(:attr:`~rrdbg.model.hits.bisection.Verdict.AWAY`), the bad end becomes the last position at which it had its memory.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from rrdbg.engine.queries.predicates import Predicate
from rrdbg.engine.replay import Replay
from rrdbg.errors import Undecided
from rrdbg.model.hits.bisection import Bisection, Judgement, Probe, Turn, Verdict
from rrdbg.model.timeline.position import Position

STRIDE = 256
"""Instructions that are stepped over rather than halved, where asking is quick."""

_DARK = 1000
"""Instructions that are stepped over at most where halving has met nothing but skipped positions."""

_MOST_RUNS = 64
"""Of a task's last runs at most so many are looked at for one in which it has its memory yet."""

CHECKS = 3
"""Afterwards no stretch before the turn is left unseen that is longer than one part of this many and one more."""

ProbeListener = Callable[[Probe, Bisection], None]
"""Told of each probe, and of what is left after it."""


class Bisector:
    """One bisect on ``replay``; ``known`` are probes of an earlier one that was broken off."""

    def __init__(
        self,
        replay: Replay,
        predicate: Predicate,
        bisection: Bisection,
        known: Iterable[Probe] = (),
        *,
        on_probe: ProbeListener = lambda probe, bisection: None,
        checks: int = CHECKS,
    ) -> None:
        self._replay = replay
        self._predicate = predicate
        self._on_probe = on_probe
        self._checks = checks
        self._start = bisection.good
        self._probes = {probe.position: probe for probe in known}
        self._asked = 0
        self._was_away = False
        self.bisection = bisection
        """Where the first position is known to lie by now."""

    async def run(self) -> Turn:
        """Bisect.

        :raises Undecided: the predicate holds at the good end, or not at the bad one, or turns more than once, or
            cannot be judged.
        """
        began = time.monotonic()
        await self._check_ends()
        self.bisection = self.bisection.after_all(self._probes.values())
        while (position := self.bisection.next(self._replay.timeline)) is not None:
            if self._predicate.quick and self.bisection.remaining <= STRIDE:
                break
            self.bisection = self.bisection.after(await self._probe(position))
        skipped = await self._walk()
        await self._check_before()
        left = self.bisection
        elsewhere = self._was_away or left.remaining < left.bad.icount - left.good.icount
        return Turn(
            left.good, left.bad, self._value(left.good), self._value(left.bad), self._asked, time.monotonic() - began,
            skipped, elsewhere,
        )  # fmt: skip

    async def ends(self) -> tuple[Position, Position]:
        """The good end, and the bad one, or instead of this where the task has had its memory last.

        :raises Undecided: it has none.
        """
        bad = self.bisection.bad
        if self.bisection.task and (await self._probe(bad, quiet=True)).verdict is Verdict.AWAY:
            bad = await self._last_with_memory()
        return self.bisection.good, bad

    async def _check_ends(self) -> None:
        good, bad = self.bisection.good, self.bisection.bad
        probe = self._probes.get(good) or await self._probe(good)
        if probe.verdict is Verdict.BAD:
            raise Undecided(
                f"At {good}, the good end, the predicate holds already ({probe.value}): it was true before, or is not "
                "monotonic. Choose an earlier --good, or let --scan list every change."
            )
        self._refuse_skip(probe)
        probe = self._probes.get(bad) or await self._probe(bad)
        if probe.verdict is Verdict.AWAY:
            bad = await self._last_with_memory()
            self.bisection = replace(self.bisection, bad=bad)
            probe = self._probes.get(bad) or await self._probe(bad)
        if probe.verdict is Verdict.GOOD:
            raise Undecided(
                f"At {bad}, the bad end, the predicate does not hold ({probe.value}): there is nothing to bisect. "
                "If it holds before, choose an earlier --bad, or let --scan list every change."
            )
        self._refuse_skip(probe)

    async def _last_with_memory(self) -> Position:
        """The last position before the bad end, where the task is away, at which it is not."""
        good, bad, task = self.bisection.good, self.bisection.bad, self.bisection.task
        assert task is not None, "nobody is away who was not asked for"
        for begun, high in itertools.islice(task.backward(Position(bad.icount, bad.phase + 1)), _MOST_RUNS):
            low = max(begun, good)
            last = task.last_before(high)
            if low >= high or last is None:
                break
            if (await self._probe(low, quiet=True)).verdict is Verdict.AWAY:
                continue
            if last <= low or (await self._probe(last, quiet=True)).verdict is not Verdict.AWAY:
                return max(low, last)
            ends = Bisection.between(low, last, task)
            return (await Bisector(self._replay, _Away(self._predicate), ends, checks=0).run()).before
        raise Undecided(
            f"Task {task} has no memory of its own in its last runs before {self.bisection.bad}; choose an earlier end."
        )

    def _refuse_skip(self, probe: Probe) -> None:
        if probe.verdict in (Verdict.SKIP, Verdict.AWAY):
            raise Undecided(f"At {probe.position} the predicate cannot be judged ({probe.value}); choose another end.")

    async def _probe(self, position: Position, *, quiet: bool = False) -> Probe:
        began = time.monotonic()
        if self._predicate.offline:
            self._replay.place(position)
        elif self._replay.position != position:
            await self._replay.seek(position)
        judgement = await self._predicate.judge(self._replay)
        probe = Probe(position, judgement.verdict, judgement.value, time.monotonic() - began)
        self._probes[position] = probe
        if not quiet:
            self._asked += 1
            self._on_probe(probe, self.bisection.after(probe) if self._inside(position) else self.bisection)
        return probe

    def _inside(self, position: Position) -> bool:
        return self.bisection.good < position < self.bisection.bad

    async def _walk(self) -> int:
        """Step through what is left; how many positions before the first true one could not be judged."""
        if self.bisection.remaining > _DARK and self.bisection.skipped:
            raise Undecided(
                f"Between {self.bisection.good} and {self.bisection.bad} the predicate cannot be judged: "
                f"{len(self.bisection.skipped)} positions were skipped. Choose another --good or --bad."
            )
        skipped, here = 0, self.bisection.good
        while here < self.bisection.bad:
            if self._replay.position != here:
                await self._replay.seek(here)
            here = await self._following()
            if here >= self.bisection.bad:
                break
            probe = self._probes.get(here) or await self._probe(here, quiet=self._predicate.quick)
            if probe.verdict is Verdict.SKIP:
                skipped += 1
                continue
            if probe.verdict is Verdict.AWAY:
                self._was_away = True
                continue
            self._was_away = self._was_away and probe.verdict is Verdict.BAD
            skipped = skipped if probe.verdict is Verdict.BAD else 0
            self.bisection = self.bisection.after(probe)
        return skipped

    async def _following(self) -> Position:
        """The next position that counts, or the bad end; where the task does not run any more it is gone to."""
        await self._replay.stepi()
        here, task = self._replay.position, self.bisection.task
        return here if task is None else min(task.at_or_after(here) or self.bisection.bad, self.bisection.bad)

    async def _check_before(self) -> None:
        """Look into the widest stretches before the turn: did the predicate hold there?"""
        start, good, task = self._start, self.bisection.good, self.bisection.task
        most = Bisection(start, good, task=task).remaining // (self._checks + 1)
        while True:
            seen = sorted({place for place in self._probes if start <= place <= good} | {start})
            parts = (Bisection(low, high, task=task) for low, high in itertools.pairwise(seen))
            widest = max(parts, key=lambda part: part.remaining, default=None)
            middle = widest.middle(self._replay.timeline) if widest and widest.remaining > most else None
            if middle is None:
                return
            self.bisection = self.bisection.after(await self._probe(middle))

    def _value(self, position: Position) -> str:
        return self._probes[position].value if position in self._probes else ""


class _Away:
    """True where the predicate of one task finds that away."""

    def __init__(self, predicate: Predicate) -> None:
        self.quick = predicate.quick
        self.offline = predicate.offline
        self._predicate = predicate

    async def judge(self, replay: Replay) -> Judgement:
        """Whether it is, at the cursor."""
        judgement = await self._predicate.judge(replay)
        return Judgement(Verdict.BAD if judgement.verdict is Verdict.AWAY else Verdict.GOOD, judgement.value)
