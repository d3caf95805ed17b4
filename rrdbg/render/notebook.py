"""A notebook as Markdown, for a bug report: what the guest printed stands there as it is, and makes no markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rrdbg.model.shown import on_one_line, shown
from rrdbg.model.timeline.notebook import Entry
from rrdbg.model.timeline.position import Position

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|!~&@])")


def notebook_markdown(name: str, end: Position, entries: Sequence[Entry]) -> str:
    """All ``entries`` on the recording ``name``, which ends at ``end``."""
    lines = [f"# What was found in {_plain(name)}", "", f"{end} instructions. Each position is a place to `seek` to."]
    for number, entry in enumerate(entries, 1):
        lines += [
            "",
            f"## {number}. {_code(entry.title)}",
            "",
            f"At **{entry.position}**{_where(entry)}",
            *_said(entry),
        ]
    return "\n".join(lines) + "\n"


def _where(entry: Entry) -> str:
    return f", {_plain(entry.where)}" if entry.where else ""


def _said(entry: Entry) -> Iterator[str]:
    if entry.note:
        yield ""
        yield from (f"> {_plain(line)}" for line in entry.note.splitlines())
    if entry.text:
        yield ""
        yield from (f"    {line}" for line in shown(entry.text).splitlines())
    if entry.rows:
        yield ""
        yield f"| position | {' | '.join(map(_plain, entry.columns))} |"
        yield "|---:|" + "---|" * len(entry.columns)
        for row in entry.rows:
            yield f"| {row.position} | {' | '.join(map(_code, row.cells))} |"
    if entry.total > len(entry.rows):
        yield ""
        yield f"The first {len(entry.rows):,} of {entry.total:,}."


def _plain(text: str) -> str:
    return _MARKUP.sub(r"\\\1", on_one_line(text))


def _code(text: str) -> str:
    """Text in a code span, which ends at as many backticks as it begins with."""
    text = on_one_line(text).replace("|", "\\|")
    if not text.strip():
        return ""
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    blank = " " if "`" in text else ""
    return f"{fence}{blank}{text}{blank}{fence}"
