"""What a client is told of long work depends on whether it can show that."""

from __future__ import annotations

from typing import Any, cast

import pytest

from rrdbg.engine.machines.progress import Progress
from rrdbg.frontends.dap import progress
from rrdbg.frontends.dap.channel import Channel
from rrdbg.frontends.dap.progress import Progressing


class Told:
    """Notes the events that it is given to send."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def event(self, name: str, body: dict[str, Any]) -> None:
        assert body["progressId"] == "rrdbg-7"
        self.events.append(name)


@pytest.mark.parametrize(
    ("wanted", "events"), [(True, ["progressStart", "progressUpdate", "progressEnd"]), (False, [])]
)
async def test_who_cannot_show_it_is_told_nothing(
    monkeypatch: pytest.MonkeyPatch, wanted: bool, events: list[str]
) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    told = Told()
    work = Progressing(cast(Channel, told), 7, "continue", wanted=wanted)
    for done in (1.0, 2.0):
        work.show(Progress(int(done), done, 4.0))
        if work._sending:
            await work._sending
    await work.close()
    assert told.events == events
