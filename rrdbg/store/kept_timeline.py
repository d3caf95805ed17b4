"""The timeline of a recording that several sessions keep: each takes up what the others have found."""

from __future__ import annotations

import logging

from rrdbg.errors import RecordingError
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.merging import merged
from rrdbg.store.recording import Recording
from rrdbg.store.timeline_file import load_timeline, save_timeline

_log = logging.getLogger(__name__)


class KeptTimeline:
    """That of ``recording``; ``timeline`` is what was read of it."""

    def __init__(self, recording: Recording, timeline: Timeline) -> None:
        self._recording = recording
        self._file = timeline

    def renewed(self, mine: Timeline) -> Timeline:
        """``mine``, and what other sessions have written since this one last did; quick if they have not."""
        if not (self._recording.writable and self._recording.timeline_file.changed):
            return mine
        try:
            theirs = load_timeline(self._recording)
        except RecordingError as error:
            # It is replaced by what is known here, as soon as there is something to keep.
            _log.warning("What other sessions have found is not taken up: %s", error)
            return mine
        before, self._file = self._file, theirs
        return merged(before, mine, theirs)

    def save(self, mine: Timeline) -> Timeline:
        """Keep ``mine``, and what other sessions have written since; both together are given.

        :raises HostError: the disk is full; the file is as it was.
        """
        with self._recording.turn():
            mine = self.renewed(mine)
            save_timeline(self._recording, mine)
            self._file = mine
            return mine
