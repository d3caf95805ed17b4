"""The timeline as one HTML page that needs nothing else: no network, no other file.

The page's own parts lie beside this module in ``timeline_page/``: a frame, a style sheet and modules, which draw the
tracks from the data that is put in as JSON. What the guest printed is in that data: it must not be taken for markup.
``rrdbg web`` serves the same modules as they are.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from itertools import pairwise

from rrdbg.model.timeline.notebook import Entry, entry_data
from rrdbg.model.timeline.tracks import TimelineTracks, Track

SIGNATURE = "<!DOCTYPE html>\n<!-- rrdbg timeline -->\n"
"""What each page begins with."""

_MODULES = ("words.js", "model.js", "painting.js", "flame.js", "timeline.js", "console.js", "notebook.js", "static.js")
_IMPORT = re.compile(r"^import\b[^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)
_NEW_LINE = "\n"
"""The frame has one before the script, and what a policy allows is all that is in the element."""


def timeline_page(tracks: TimelineTracks, notebook: Sequence[Entry] = ()) -> str:
    """The whole page, with what was kept in a ``notebook``."""
    script = one_script(_MODULES)
    content = {
        "title": html.escape(tracks.name),
        "style": page_part("style.css"),
        "script": script,
        "allowed": f"sha256-{b64encode(sha256(f'{_NEW_LINE}{script}'.encode()).digest()).decode()}",
        "data": _json(page_data(tracks) | {"notebook": [entry_data(entry) for entry in notebook]}),
    }
    return SIGNATURE + re.sub(r"\{\{(\w+)\}\}", lambda place: content[place[1]], page_part("frame.html"))


def page_part(name: str) -> str:
    """One of the files that the page is made of."""
    return (files("rrdbg.render") / "timeline_page" / name).read_text(encoding="utf-8")


def one_script(names: Sequence[str]) -> str:
    """Modules, each behind those that it imports, as one: all names are one module's then, so none may be twice."""
    return "".join(_EXPORT.sub("", _IMPORT.sub("", page_part(name))) for name in names)


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
        "tracks": [track_data(track) for track in tracks.tracks],
    }


def track_data(track: Track) -> dict[str, object]:
    """One track, as it stands in :func:`page_data`."""
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
