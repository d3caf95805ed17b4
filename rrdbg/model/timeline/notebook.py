"""What somebody has found in a recording, in the order in which it was kept, with what he notes to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from rrdbg.model.document import Document
from rrdbg.model.timeline.position import Position

MOST_ENTRIES = 500
MOST_ROWS = 200
"""Rows of one answer that are kept."""

MOST_SLICES = 20_000
"""Calls of a flame chart that are kept: the longest."""

_MOST_DEPTH = 200
_MOST_COLUMNS = 20
_MOST_TEXT = 20_000


@dataclass(frozen=True, slots=True)
class Row:
    """One of the places that an answer lists: a cell for each of its columns."""

    position: Position
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """A call of a function for ``length`` instructions from the icount ``at`` on, ``depth`` calls deep."""

    at: int
    length: int
    depth: int
    name: str


@dataclass(frozen=True, slots=True)
class Flame:
    """A flame chart, found by a sample at ``every`` so many instructions; ``slices`` in the order of their begin."""

    every: int
    slices: tuple[Slice, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was kept: the cursor's ``position``, what was asked (``title``), and what was seen or answered.

    ``where`` is the place in the program, ``text`` what was said in words, ``rows`` what was found, ``total`` how many
    of them there were; ``flame`` is the chart that was drawn, if there was one; ``note`` is the user's.
    """

    position: Position
    title: str
    where: str = ""
    text: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    total: int = 0
    flame: Flame | None = None
    note: str = field(default="", compare=False)


def read_entries(document: Document) -> list[Entry]:
    """A notebook, as :func:`entry_data` has each of its entries.

    :raises DocumentError: it is none.
    """
    return [_entry(item) for item in document.values(0, MOST_ENTRIES)]


def entry_data(entry: Entry) -> dict[str, object]:
    """An entry as values that JSON has."""
    return {
        "at": [entry.position.icount, entry.position.phase],
        "title": entry.title,
        "where": entry.where,
        "text": entry.text,
        "columns": list(entry.columns),
        "rows": [[[row.position.icount, row.position.phase], list(row.cells)] for row in entry.rows],
        "total": entry.total,
        "note": entry.note,
        **({"flame": _flame_data(entry.flame)} if entry.flame else {}),
    }


def _flame_data(flame: Flame) -> dict[str, object]:
    names = {name: number for number, name in enumerate(dict.fromkeys(part.name for part in flame.slices))}
    slices = [[part.at, part.length, part.depth, names[part.name]] for part in flame.slices]
    return {"every": flame.every, "names": list(names), "slices": slices}


def _entry(item: Document) -> Entry:
    columns = tuple(column.text(200) for column in item["columns"].values(0, _MOST_COLUMNS))
    rows = []
    for row in item["rows"].values(0, MOST_ROWS):
        at, cells = row.values(2, 2)
        rows.append(Row(_position(at), tuple(cell.text() for cell in cells.values(len(columns), len(columns)))))
    return Entry(
        _position(item["at"]), item["title"].text(2000), item["where"].text(2000), item["text"].text(_MOST_TEXT),
        columns, tuple(rows), item["total"].integer(), _flame(item.get("flame")), item["note"].text(_MOST_TEXT),
    )  # fmt: skip


def _flame(item: Document | None) -> Flame | None:
    if item is None:
        return None
    names = [name.text(2000) for name in item["names"].values(0, MOST_SLICES)]
    slices = []
    for part in item["slices"].values(0, MOST_SLICES):
        at, length, depth, name = part.values(4, 4)
        number = name.integer(0, len(names) - 1)
        slices.append(Slice(at.integer(), length.integer(), depth.integer(0, _MOST_DEPTH), names[number]))
    return Flame(item["every"].integer(1), tuple(sorted(slices, key=lambda part: (part.at, part.depth))))


def _position(item: Document) -> Position:
    icount, phase = item.values(2, 2)
    return Position(icount.integer(), phase.integer(0, 1 << 16))
