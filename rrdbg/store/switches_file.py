"""``switches.json``: from where on which task of a Linux guest ran, found in one pass and kept.

As with :mod:`rrdbg.store.hits_file`, losing it costs time only, and what others have found counts for nothing.
"""

from __future__ import annotations

import json
import logging

from rrdbg.errors import RecordingError
from rrdbg.model.document import Document, DocumentError
from rrdbg.model.linux.switches import MOST_SWITCHES, Switch, Switches
from rrdbg.model.linux.task import Task
from rrdbg.model.timeline.position import Position
from rrdbg.store.files import write_atomically
from rrdbg.store.opening import read_regular
from rrdbg.store.recording import Recording

SCHEMA = 2
"""To be raised also when a pass finds something else than before in the same recording."""

_MOST_BYTES = 128 << 20
_MOST = (1 << 64) - 1
_LONGEST_NAME = 64

_log = logging.getLogger(__name__)


def load_switches(recording: Recording) -> Switches:
    """What this session and earlier ones have found in ``recording``, here."""
    path = recording.kept_at(recording.layout.switches)
    try:
        data = read_regular(path, _MOST_BYTES)
        if path == recording.layout.switches and not recording.believes(data):
            return Switches()
        content = Document.parse(data)
        if content["schema"].integer() != SCHEMA:
            return Switches()
        return _read(content)
    except FileNotFoundError:
        return Switches()
    except (OSError, RecordingError, DocumentError) as error:
        _log.warning("%s is damaged (%s), and is not used.", path, error)
        return Switches()


def save_switches(recording: Recording, known: Switches) -> Switches:
    """Keep ``known`` with the recording, or for this session where that is read-only, unless they are too many.

    What other sessions have found since is kept, too, and both together are given.

    :raises OSError: the disk is full.
    """
    with recording.turn():
        known = known.joined(load_switches(recording))
        if len(known.switches) <= MOST_SWITCHES:
            place = recording.place_of(recording.layout.switches)
            content = _written(known)
            marked = recording.marked(content.removesuffix(b"}")) if place == recording.layout.switches else content
            write_atomically(place, marked)
    return known


def _written(known: Switches) -> bytes:
    tasks: dict[Task, int] = {}
    listed = [
        [
            switch.position.icount,
            switch.position.phase,
            tasks.setdefault(switch.task, len(tasks)),
            int(switch.goes_on),
        ]
        for switch in known.switches
    ]
    return json.dumps(
        {
            "schema": SCHEMA,
            "covered": [[low.icount, low.phase, high.icount, high.phase] for low, high in known.covered],
            "tasks": [[task.pid, task.tgid, task.comm, task.address] for task in tasks],
            "switches": listed,
        }
    ).encode()


def _read(content: Document) -> Switches:
    tasks = []
    for item in content["tasks"].values():
        pid, tgid, comm, address = item.values(4, 4)
        tasks.append(Task(pid.integer(), tgid.integer(), comm.text(_LONGEST_NAME), address.integer(0, _MOST)))
    covered = []
    for item in content["covered"].values():
        low, low_phase, high, high_phase = (value.integer() for value in item.values(4, 4))
        covered.append((Position(low, low_phase), Position(high, high_phase)))
    switches = []
    for item in content["switches"].values(0, MOST_SWITCHES):
        icount, phase, number, goes_on = item.values(4, 4)
        task = tasks[number.integer(0, len(tasks) - 1)]
        switches.append(Switch(Position(icount.integer(), phase.integer()), task, bool(goes_on.integer(0, 1))))
    if covered != sorted(covered) or switches != sorted(switches, key=lambda switch: switch.position):
        raise DocumentError("it is not in order")
    return Switches(tuple(covered), tuple(switches))
