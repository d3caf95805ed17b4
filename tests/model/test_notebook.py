"""A notebook is read as it was written, and what is none is refused: a page sends it, and a file keeps it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rrdbg.model.document import Document, DocumentError
from rrdbg.model.timeline.notebook import Entry, Flame, Row, Slice, entry_data, read_entries
from rrdbg.model.timeline.position import Position
from rrdbg.render.notebook import notebook_markdown

FLAME = Flame(5, (Slice(10, 15, 0, "main"), Slice(10, 10, 1, "fold"), Slice(20, 5, 1, "mix")))
ENTRIES = [
    Entry(Position(7, 1), "here", "main at a.c:3", "#0  main ()", note="A note"),
    Entry(
        Position(10), "profile from 10 to 25", columns=("function", "self"), rows=(Row(Position(10), ("fold", "66%")),),
        total=3, flame=FLAME, note="",
    ),
]  # fmt: skip


def read(data: object) -> list[Entry]:
    return read_entries(Document.parse(json.dumps(data).encode()))


def written() -> list[Any]:
    return [entry_data(entry) for entry in ENTRIES]


def test_it_is_read_as_it_was_written() -> None:
    found = read(written())
    assert found == ENTRIES
    assert [entry.note for entry in found] == ["A note", ""]
    assert "flame" not in written()[0]


@pytest.mark.parametrize(
    "change",
    [
        {"slices": [[10, 15, 0, 3]]},
        {"slices": [[10, 15, 0, -1]]},
        {"slices": [[10, 15, 100_000, 0]]},
        {"slices": [[-10, 15, 0, 0]]},
        {"slices": [[10, 15, 0]]},
        {"slices": [[10, 15, 0, 0]] * 20_001},
        {"names": [5]},
        {"every": 0},
    ],
    ids=lambda change: str(change)[:40],
)
def test_a_flame_chart_that_is_none_is_refused(change: dict[str, Any]) -> None:
    data = written()
    data[1]["flame"] |= change
    with pytest.raises(DocumentError):
        read(data)


def test_as_text_it_has_who_had_how_much() -> None:
    text = notebook_markdown("boot", Position(30), ENTRIES)
    assert "## 2. `profile from 10 to 25`" in text
    assert "| 10 | `fold` | `66%` |" in text
    assert "The first 1 of 3." in text
