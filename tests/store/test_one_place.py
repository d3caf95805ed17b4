"""A rule of the house: files of a recording are opened, and JSON is read, in one place each.

What is listed reads something else, and the reason stands beside it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2] / "rrdbg"

JSON = {
    "model/document.py": "the one place",
    "model/machine/options.py": "the user's own command line",
    "model/machine/handmade_drives.py": "the user's own command line",
    "links/images.py": "what qemu-img prints",
    "engine/machines/disks.py": "what qemu-img prints",
    "frontends/server/control.py": "what render has just written",
    "frontends/gdb/channel.py": "what our own server sends",
    "frontends/gdb/declared.py": "what our own server sends",
}
OPENING = {
    "store/opening.py": "the one place",
    "store/files.py": "a new file, in the place of which none is followed",
    "store/logend.py": "the end of a log of our own recorder's, which nobody else has yet",
    "store/key.py": "the user's own key",
    "store/trust.py": "the user's own list",
    "store/workfolder.py": "a lock of our own",
    "store/bisect_log.py": "a log that the user has named to be written",
    "store/clients.py": "in the user's own folder, with the lock that tells whether its writer lives",
    "store/sharing.py": "the lock, and which process holds it",
    "store/pages.py": "pages that are written, by whoever holds the lock",
    "store/archive.py": "a new file in a new folder",
}
"""In the room ``store``; other rooms give paths of a recording to it, or to QEMU."""


def calls(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            match node.func:
                case ast.Attribute(ast.Name(owner), name):
                    yield node.lineno, f"{owner}.{name}"
                case ast.Attribute(_, name):
                    yield node.lineno, f".{name}"
                case ast.Name(name):
                    yield node.lineno, name


def breaches(forbidden: set[str], methods: set[str], allowed: dict[str, str], folder: Path) -> list[str]:
    found = []
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name not in allowed:
            found += [
                f"{name}:{line} calls {call}"
                for line, call in calls(path)
                if call in forbidden or call.rpartition(".")[2] in methods
            ]
    return found


def test_json_is_read_in_one_place() -> None:
    assert breaches({"json.loads", "json.load"}, set(), JSON, ROOT) == []


def test_pickles_are_read_only_between_processes_of_ours() -> None:
    """Never from a recording, nor from a client; Dask reads its own."""
    allowed = {"engine/search/parallel/frames.py": "through pipes, to and from processes that we have started"}
    forbidden = {"pickle.loads", "pickle.load", "marshal.loads", "shelve.open", "pickle.Unpickler"}
    assert breaches(forbidden, set(), allowed, ROOT) == []


def test_s4_files_of_a_recording_are_opened_in_one_place() -> None:
    methods = {"read_bytes", "read_text", "fdopen"}
    assert breaches({"open", "os.open", "path.open", "self._file.open"}, methods, OPENING, ROOT / "store") == []


def test_s4_a_recording_is_read_by_the_room_store_alone() -> None:
    """``layout.manifest.open()`` and the like: an attribute of a layout is opened by nobody else."""
    names = {"manifest", "log", "console", "deliveries", "timeline", "hits", "initial"}
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("store/") or name == "engine/making/recorder.py":  # which is writing it
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(ast.Attribute(ast.Attribute(_, opened), "open" | "read_bytes" | "read_text")):
                    if opened in names:
                        found.append(f"{name}:{node.lineno} opens {opened}")
    assert found == []


def test_no_entry_of_the_lists_is_stale() -> None:
    assert [name for name in {**JSON, **OPENING} if not (ROOT / name).exists()] == []
