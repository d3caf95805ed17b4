"""Whatever the table of features says of a debugger has a link to where that stands."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "comparison.md"
LINK = re.compile(r"\[[^]]+](?:\((?P<path>[^)#]+)(?:#[^)]*)?\)|\[(?P<name>[^]]+)])")


def test_each_entry_of_the_table_has_a_link() -> None:
    text = PAGE.read_text()
    known = dict(re.findall(r"^\[([^]]+)]: (\S+)$", text, re.MULTILINE))
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    used = set()
    for row in rows:
        assert len(row) == 7, row[0]
        for entry in filter(str.strip, row[1:]):
            links = list(LINK.finditer(entry))
            assert links, f"{row[0]}: {entry}"
            for link in links:
                if link["name"]:
                    assert known[link["name"]].startswith("https://")
                    used.add(link["name"])
                else:
                    assert (PAGE.parent / link["path"]).exists(), entry
        assert row[1].strip(), f"{row[0]}: it is our table"
    assert used == known.keys()
