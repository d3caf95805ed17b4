"""Why a run failed, as far as other runs tell: does it fail again, what of its perturbation does that need?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from rrdbg.model.hunt.perturbation import Perturbation


@dataclass(frozen=True, slots=True)
class Explanation:
    """What some more runs have shown of one that failed.

    With the same perturbation ``failed_again`` of ``tries`` failed. If all did, ``needed`` is the perturbation without
    what could be left out, one aspect after another, with which the guest still failed; else it is None, since chance
    decides. ``passed`` is where the run was kept that is most similar to the failed one and did not fail, None if there
    was none; both have ``common`` interrupts and exceptions at the same places before they part.
    """

    tries: int
    failed_again: int
    needed: Perturbation | None = None
    passed: PurePath | None = None
    common: int = 0

    @property
    def repeats(self) -> bool:
        """Whether the perturbation alone makes the guest fail, and nothing that the host decides."""
        return self.tries > 0 and self.failed_again == self.tries
