"""The notebook of a recording: the user's own, so it lies with what is his and not in the recording."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from rrdbg.errors import RecordingError
from rrdbg.model.document import Document, DocumentError
from rrdbg.model.timeline.notebook import Entry, entry_data, read_entries
from rrdbg.store.files import state_directory, write_atomically
from rrdbg.store.opening import read_regular
from rrdbg.store.recording import Recording

_MOST_BYTES = 64 << 20


def notebook_path(recording: Recording) -> Path:
    """Where it lies; the same for each copy of the recording."""
    log = recording.layout.log.stat()
    identity = f"{recording.manifest.created} {recording.manifest.icount} {log.st_size}"
    return state_directory() / "notebooks" / f"{sha256(identity.encode()).hexdigest()[:24]}.json"


def load_notebook(recording: Recording) -> list[Entry]:
    """What was kept; nothing if that is nothing yet.

    :raises RecordingError: the file is damaged; the message names it.
    """
    path = notebook_path(recording)
    try:
        return read_entries(Document.parse(read_regular(path, _MOST_BYTES)))
    except FileNotFoundError:
        return []
    except DocumentError as error:
        raise RecordingError(f"The notebook {path} is damaged ({error}); move it away to begin a new one.") from None


def save_notebook(recording: Recording, entries: Sequence[Entry]) -> None:
    """Keep ``entries``, and nothing of what was kept before.

    :raises OSError: it cannot be written.
    """
    path = notebook_path(recording)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(path, json.dumps([entry_data(entry) for entry in entries]).encode())
