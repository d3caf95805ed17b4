"""What a hunt shows: a line for each failure, how far it is, and at the end a table; or JSON lines."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections import Counter

from rrdbg.engine.hunt.hunter import Hunter, Reason, Run
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.model.hunt.explanation import Explanation
from rrdbg.model.hunt.perturbation import Perturbation
from rrdbg.render.text import table

_REASONS = {
    Reason.KEPT: "as many failures as wanted were kept",
    Reason.RUNS: "all runs were made",
    Reason.TIME: "the time is up",
    Reason.SHOWN: "the wanted confidence is reached",
    Reason.SAME: "nothing new comes any more: the last runs were all the same as earlier ones",
}


class Report:
    """Prints how a hunt goes."""

    def __init__(self, *, json: bool, quiet: bool) -> None:
        self._json = json
        self._line = ProgressLine(quiet=quiet or json)
        self._quiet = quiet
        self._hunter: Hunter
        self._endings: Counter[str] = Counter()

    def begin(self, hunter: Hunter) -> None:
        """What is to be done."""
        self._hunter = hunter
        request = hunter.request
        varied = ", ".join(request.choices.aspects) or "nothing"
        self._line.say(f"Hunting with seed {request.seed}, {self._hunter.jobs} at a time; runs differ in: {varied}.")
        if places := request.choices.places:
            self._line.say(
                f"{places.instructions:,} instructions touch memory that is shared with what interrupts them, at "
                f"{len(places):,} places."
            )

    def run(self, run: Run) -> None:
        """One more has ended."""
        self._endings[run.tried.ended] += 1
        if self._json:
            self._print(
                "run", number=run.number, seed=f"{self._hunter.request.seed}:{run.number}",
                perturbation={aspect.value: getattr(run.perturbation, aspect) for aspect in run.perturbation.aspects},
                failed=run.failed, same_as=run.same_as, ended=run.tried.ended, icount=run.tried.icount,
                seconds=round(run.tried.seconds, 3), recording=run.recording and str(run.recording),
            )  # fmt: skip
        elif run.failed and run.same_as is None and run.recording:
            self._line.say(
                f"Run {run.number} failed: {run.failed}; {run.perturbation}\n"
                f"  kept: rrdbg replay {shlex.quote(str(run.recording))}\n"
                f"  again: the same command with --seed {self._hunter.request.seed}:{run.number} --runs 1"
            )
        self.show()

    def broken(self, number: int, error: Exception) -> None:
        """A run was none."""
        self._line.say(f"Run {number} does not count: {error}")

    def show(self) -> None:
        """How far it is."""
        tally = self._hunter.tally
        left = self._hunter.seconds_left
        elapsed = time.monotonic() - self._hunter.began
        self._line.show(
            f"[{tally.runs:,} runs  {tally.different:,} different  {tally.repeated:,} the same  "
            f"{tally.failures:,} failed{_share(tally.rate)}  "
            f"{60 * tally.runs / elapsed:.0f} a minute, {self._speed(elapsed)} instructions a second  "
            f"at most {self._bound()} fail"
            f"{'' if left is None else f'  {left:.0f} s left at most'} (Ctrl-C stops)]"
        )

    def end(self, reason: Reason | None) -> None:
        """It is over; without a reason, since it was interrupted."""
        self._line.clear()
        hunter = self._hunter
        tally, elapsed = hunter.tally, time.monotonic() - hunter.began
        if self._json:
            self._print(
                "hunt", ended=reason or "interrupted", seed=hunter.request.seed, runs=tally.runs,
                different=tally.different, same=tally.repeated, endings=self._endings, failures=tally.failures,
                rate=tally.rate, confidence=hunter.request.confidence,
                at_most=tally.at_most(hunter.request.confidence), seconds=round(elapsed, 1),
                instructions=hunter.instructions, kept=[str(run.recording) for run in hunter.kept],
            )  # fmt: skip
            return
        why = _REASONS[reason] if reason else "it was interrupted"
        rows = [
            (f"{tally.runs:,}", f"{tally.different:,}", f"{tally.repeated:,}", f"{tally.failures:,}",
             f"{100 * tally.rate:.2f} %", self._bound(),
             f"{60 * tally.runs / max(elapsed, 1e-3):.0f}", self._speed(elapsed), f"{elapsed:.1f}"),
        ]  # fmt: skip
        print(f"The hunt has ended: {why}.")
        headings = (
            "Runs", "Different", "The same", "Failed", "Rate",
            f"At most ({100 * hunter.request.confidence:g} % sure)", "A minute", "Instructions/s", "Seconds",
        )  # fmt: skip
        print(table(headings, rows))
        if self._endings:
            print("How they ended:", "; ".join(f"{why} ({count:,})" for why, count in self._endings.most_common()))
        for run in hunter.kept:
            print(f"Open run {run.number} with: rrdbg replay {shlex.quote(str(run.recording))}")
        sys.stdout.flush()

    def tried(self, perturbation: Perturbation, failed: str | None) -> None:
        """One more run was made to explain another."""
        self._line.say(f"Tried again: {'failed' if failed else 'passed'}; {perturbation}")

    def explained(self, run: Run, explanation: Explanation) -> None:
        """What more runs have told."""
        again, tries, needed = explanation.failed_again, explanation.tries, explanation.needed
        if self._json:
            self._print(
                "explanation", number=run.number, failed_again=again, tries=tries, common=explanation.common,
                needed=needed and {aspect.value: getattr(needed, aspect) for aspect in needed.aspects},
                passed=explanation.passed and str(explanation.passed),
            )  # fmt: skip
            return
        if needed == Perturbation():
            print("It fails each time, with the same perturbation and without any: each plain run may fail.")
        elif needed is not None:
            print(f"It fails each time with the same perturbation. What that needs of it: {needed}.")
        else:
            print(f"With the same perturbation {again} of {tries} runs failed again, so chance decides, too.")
        if explanation.passed:
            print(
                f"The most similar run that passes has {explanation.common:,} events from outside at the same places:\n"
                f"  rrdbg bisect-boot --good {shlex.quote(str(explanation.passed))} "
                f"--bad {shlex.quote(str(run.recording))}\n  in the shell: compare {explanation.passed.name}"
            )

    def unexplained(self, error: Exception) -> None:
        """Something went wrong while a run was to be explained."""
        if self._json:
            self._print("unexplained", message=str(error))
        else:
            print(f"Why it failed could not be found out: {error}")

    def alike(self, why: str) -> None:
        """The way that the program goes does not tell the two from each other."""
        if self._json:
            self._print("flow", same=True, message=why)
        else:
            print(f"They go the same way. {why}")

    def _bound(self) -> str:
        return f"{100 * self._hunter.tally.at_most(self._hunter.request.confidence):.3g} %"

    def _speed(self, elapsed: float) -> str:
        return f"{self._hunter.instructions / max(elapsed, 1e-3) / 1e6:.0f} M"

    def _print(self, kind: str, **content: object) -> None:
        print(json.dumps({"kind": kind, **content}), flush=True)


def _share(rate: float) -> str:
    return f" ({100 * rate:.2g} %)" if rate else ""
