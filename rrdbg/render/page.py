"""The timeline as one HTML page that needs nothing else: no network, no other file.

The page's own parts lie beside this module in ``timeline_page/``: a frame, a style sheet and a script, which draws the
tracks from the data that is put in as JSON. What the guest printed is in that data: it must not be taken for markup.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from itertools import pairwise

from rrdbg.model.timeline.tracks import TimelineTracks, Track

SIGNATURE = "<!DOCTYPE html>\n<!-- rrdbg timeline -->\n"
"""What each page begins with."""


def timeline_page(tracks: TimelineTracks) -> str:
    """The whole page."""
    folder = files("rrdbg.render") / "timeline_page"

    def part(*names: str) -> str:
        return "".join((folder / name).read_text(encoding="utf-8") for name in names)

    content = {
        "title": html.escape(tracks.name),
        "style": part("style.css"),
        "script": part("model.js", "view.js", "input.js"),
        "data": _json(page_data(tracks)),
    }
    return SIGNATURE + re.sub(r"\{\{(\w+)\}\}", lambda place: content[place[1]], part("frame.html"))


def page_data(tracks: TimelineTracks) -> dict[str, object]:
    """What the page's script draws; icounts are differences to the one before, to save space."""
    return {
        "name": tracks.name,
        "end": [tracks.end.icount, tracks.end.phase],
        "base": tracks.base.isoformat(),
        "exact": tracks.exact,
        "facts": tracks.facts,
        "clock": [[knot.icount, knot.before, knot.after] for knot in tracks.knots],
        "speed": [[piece.start, piece.end, round(piece.seconds, 6)] for piece in tracks.speed],
        "tracks": [_track(track) for track in tracks.tracks],
    }


def _track(track: Track) -> dict[str, object]:
    marks = track.marks
    content: dict[str, object] = {
        "name": track.name,
        "one": track.one,
        "kind": track.kind,
        "note": track.note,
        "at": _differences([mark.position.icount for mark in marks]),
    }
    # Columns that say nothing are left out.
    columns: dict[str, list[object]] = {
        "phase": [mark.position.phase for mark in marks],
        "text": [mark.text for mark in marks],
        "value": [mark.value or 0 for mark in marks],
        "more": [mark.count - 1 for mark in marks],
        "span": [mark.end.icount - mark.position.icount for mark in marks],
    }
    return content | {name: column for name, column in columns.items() if any(column)}


def _differences(icounts: Sequence[int]) -> list[int]:
    return [*icounts[:1], *(after - before for before, after in pairwise(icounts))]


def _json(content: object) -> str:
    """JSON that may stand in a script element: no ``<`` can begin a tag, or end the script."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
