"""``rrdbg ls``, ``info``, ``rm``, ``pack`` and ``unpack``: recordings as things on disk."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

from rrdbg.commands.facts import recording_facts
from rrdbg.engine.machines.confined import confinement_of
from rrdbg.errors import RecordingError
from rrdbg.frontends.shared.options import add_recording, add_trust, find_recording
from rrdbg.frontends.shared.progress import ProgressLine
from rrdbg.model.size import size_text
from rrdbg.render.json_lines import to_json
from rrdbg.render.text import render, table
from rrdbg.store.archive import ArchiveProgress, pack, unpack
from rrdbg.store.library import Library
from rrdbg.store.recording import Recording, adopt
from rrdbg.store.timeline_file import load_timeline


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommands."""
    parser = commands.add_parser("ls", help="list the recordings", description="List the recordings in the library.")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run_ls)

    parser = commands.add_parser("info", help="tell about a recording", description="Tell about a recording.")
    add_recording(parser)
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.set_defaults(run=run_info)

    parser = commands.add_parser("rm", help="delete recordings", description="Delete recordings and their snapshots.")
    parser.add_argument("recordings", nargs="+", metavar="RECORDING", help="a directory or a name in the library")
    parser.set_defaults(run=run_rm)

    parser = commands.add_parser(
        "pack", help="make one file of a recording",
        description="Make one file of a recording, disk images included, to be opened elsewhere with 'rrdbg unpack'. "
        "Snapshots that can be made again ('rrdbg index') are left out.",
    )  # fmt: skip
    add_recording(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="the file (default: NAME.rrdbg.tar.gz here)")
    parser.add_argument("--all", action="store_true", help="with all snapshots")
    add_trust(parser)
    parser.set_defaults(run=run_pack)

    parser = commands.add_parser("unpack", help="unpack a packed recording", description="Unpack a packed recording.")
    parser.add_argument("file", metavar="FILE", help="what 'rrdbg pack' made")
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="the recording's directory (default: a new one in the library)"
    )
    add_trust(parser)
    parser.set_defaults(run=run_unpack)


async def run_ls(arguments: argparse.Namespace) -> int:
    """List the library; a damaged recording is listed as such."""
    library = Library.default()
    found = [_summary(path) for path in library.recordings()]
    if arguments.json:
        for summary in found:
            print(json.dumps(summary))
    elif not found:
        print(f"There are no recordings in {library.root}.")
    else:
        rows = [
            (
                str(item["name"]), str(item["created"]), f"{item['instructions']:,}",
                size_text(int(str(item["bytes"]))), str(item["snapshots"]), str(item["ended"]),
            )
            for item in found
        ]  # fmt: skip
        print(table(("Name", "Created (UTC)", "Instructions", "Size", "Snapshots", "Ended"), rows))
    return 0


async def run_info(arguments: argparse.Namespace) -> int:
    """Show the facts, without a machine and without the recording's lock."""
    recording = Recording.peek(Library.default().find(arguments.recording))
    info = recording_facts(recording, load_timeline(recording), await confinement_of(recording))
    print(to_json(info) if arguments.json else render(info))
    return 0


async def run_rm(arguments: argparse.Namespace) -> int:
    """Delete all, or none if one of the names is wrong."""
    library = Library.default()
    for path in [library.find(name, exact=True) for name in arguments.recordings]:
        size = _size(path)
        library.remove(path)
        print(f"Removed {path} ({size_text(size)}).")
    return 0


async def run_pack(arguments: argparse.Namespace) -> int:
    """Pack, with progress."""
    path = find_recording(arguments)
    with Recording.open(path, beside=True) as recording:
        out = Path(arguments.output or f"{recording.name}.rrdbg.tar.gz")
        await _show(pack(recording, out, load_timeline(recording), everything=arguments.all), "packing")
    print(f"Packed {path} into {out} ({size_text(out.stat().st_size)}). Open it with: rrdbg unpack {out}")
    return 0


async def run_unpack(arguments: argparse.Namespace) -> int:
    """Unpack, with progress."""
    library = Library.default()
    name = Path(arguments.file).name.removesuffix(".rrdbg.tar.gz")
    directory = Path(arguments.output) if arguments.output else library.fresh(name)
    await _show(unpack(Path(arguments.file), directory), "unpacking")
    if arguments.trust:
        adopt(directory)
    library.mark_latest(directory)
    print(f"The recording is {directory}\nOpen it with: rrdbg replay {arguments.output or directory.name}")
    return 0


async def _show(work: Iterator[ArchiveProgress], doing: str) -> None:
    line = ProgressLine()
    try:
        for progress in work:
            line.show(f"[{doing} {progress.name}: {size_text(progress.done)} of {size_text(progress.total)}]")
            # Lets a Ctrl-C in.
            await asyncio.sleep(0)
    finally:
        line.clear()


def _summary(path: Path) -> dict[str, object]:
    try:
        recording = Recording.peek(path)
        manifest, snapshots = recording.manifest, len(load_timeline(recording).snapshots)
    except RecordingError as error:
        nothing: dict[str, object] = {"created": "", "instructions": 0, "snapshots": 0}
        return {"name": path.name, **nothing, "bytes": _size(path), "ended": f"damaged: {error}"}
    return {
        "name": path.name, "created": manifest.created, "instructions": manifest.icount,
        "snapshots": snapshots, "bytes": _size(path), "ended": manifest.ended,
    }  # fmt: skip


def _size(path: Path) -> int:
    """Bytes on disk."""
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file() and not file.is_symlink())
