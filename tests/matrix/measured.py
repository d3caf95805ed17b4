"""What was found of a guest of the matrix with one QEMU, and the page that is made of it all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.matrix.cells import NAMES, what

_HEAD = """# Guests: what was tried

Made by `python -m tests.matrix --page docs/reference/guests.md` from what `python -m tests.matrix NAME...` has measured
with the QEMU on PATH. Each guest is recorded, opened, and jumped about in: to random places, every fourth just before
an interrupt or exception is delivered. Each is compared with a machine that only goes forward, all registers and RAM.
Where it says so, its snapshots were then proved as `verify` does it.
[Machines](machines.md) has the reasons for what does not work.
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """The outcome of ``jumps`` in a guest; ``refused`` is rrdbg's sentence if it does not record it."""

    guest: str
    version: str
    refused: str = ""
    instructions: int = 0
    snapshots: int = 0
    jumps: int = 0
    exact: int = 0
    recovered: int = 0
    unreached: int = 0
    errors: tuple[str, ...] = ()
    proved: int = -1
    """How many of the snapshots a second replay has proved sound; -1: that was not tried."""

    @property
    def sound(self) -> bool:
        """Whether nothing went wrong: no jump but at its first try, and no snapshot."""
        return self.exact + self.recovered == self.jumps and self.proved in (-1, self.snapshots)

    def __str__(self) -> str:
        if self.refused:
            return f"refused: {self.refused}"
        text = f"{self.exact} of {self.jumps} exact"
        if self.recovered:
            text += f", {self.recovered} at the second try"
        if self.unreached:
            text += f" ({self.unreached} other places cannot be reached forwards either)"
        if self.snapshots == 1:
            return f"{text}, from the start"
        if self.proved >= 0:
            text += f", {self.proved} of {self.snapshots} snapshots sound"
        return text


def save(measured: Measured, folder: Path) -> None:
    """Keep it below ``folder``, in place of what was measured before with this version."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{measured.guest}@{measured.version}.json").write_text(json.dumps(asdict(measured)))


def load(folder: Path) -> list[Measured]:
    """All that was measured."""
    found = [json.loads(file.read_text()) for file in folder.glob("*.json")]
    return [Measured(**{**one, "errors": tuple(one["errors"])}) for one in found]


def page(everything: Sequence[Measured]) -> str:
    """The page, in Markdown: a row for each guest, a column for each QEMU."""
    versions = sorted(
        {one.version for one in everything}, key=lambda version: [int(part) for part in version.split(".")]
    )
    cells = {(one.guest, one.version): one for one in everything}
    rows = [f"| guest | what runs | {' | '.join(f'QEMU {version}' for version in versions)} |"]
    rows.append("|---" * (len(versions) + 2) + "|")
    for name in NAMES:
        found = [cells.get((name, version)) for version in versions]
        if any(found):
            rows.append(f"| {name} | {what(name)} | {' | '.join(str(one or 'not tried') for one in found)} |")
    return _HEAD + "\n" + "\n".join(rows) + "\n"
