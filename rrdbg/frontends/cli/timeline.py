"""``rrdbg timeline``: a recording as a picture, without a QEMU."""

from __future__ import annotations

import argparse
from pathlib import Path

from rrdbg.engine.queries.tracks import timeline_tracks
from rrdbg.errors import UsageError
from rrdbg.frontends.shared.options import add_recording
from rrdbg.model.size import size_text
from rrdbg.render.page import SIGNATURE, timeline_page
from rrdbg.render.perfetto import perfetto_trace
from rrdbg.store.files import write_atomically
from rrdbg.store.library import Library
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline

_DESCRIPTION = """
Draw a recording's timeline as one HTML page that needs no network: snapshots and what they cost, interrupts, other
events, console lines, stops, bookmarks, and how fast each part replays. FILE is replaced if it exists; without -o an
existing file is only replaced if it is such a page. With --perfetto a trace is written instead, or as well with -o.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("timeline", help="draw a recording's timeline as a page", description=_DESCRIPTION)
    add_recording(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="the page (default: NAME-timeline.html here)")
    parser.add_argument("--perfetto", metavar="FILE", help="write a trace that ui.perfetto.dev opens")
    parser.set_defaults(run=run_timeline)


async def run_timeline(arguments: argparse.Namespace) -> int:
    """Write what was asked for; the recording may be in use meanwhile."""
    recording = Recording.peek(Library.default().find(arguments.recording))
    page = _page(arguments, recording.name)
    tracks = timeline_tracks(recording, load_timeline(recording))
    if arguments.perfetto:
        size = _write(Path(arguments.perfetto), perfetto_trace(tracks))
        print(f"The trace of {recording.name} is {arguments.perfetto} ({size}); open it in https://ui.perfetto.dev.")
    if page:
        size = _write(page, timeline_page(tracks).encode())
        print(f"The timeline of {recording.name} is {page} ({size}); open it in a browser.")
    return 0


def _write(path: Path, content: bytes) -> str:
    write_atomically(path, content, private=False)
    return size_text(len(content))


def _page(arguments: argparse.Namespace, name: str) -> Path | None:
    """The page to write, if one is wanted."""
    if arguments.output:
        return Path(arguments.output)
    return None if arguments.perfetto else _own_page(name)


def _own_page(name: str) -> Path:
    path = Path(f"{name}-timeline.html")
    if path.exists():
        with path.open("rb") as file:
            if file.read(len(SIGNATURE)) != SIGNATURE.encode():
                raise UsageError(f"{path} exists already and is no timeline of rrdbg's; name another file with -o.")
    return path
