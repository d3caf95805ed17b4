"""Snapshots in QEMU's own images: the user's are used, and those that he allows go with the session."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from rrdbg.engine.attach import attach
from rrdbg.errors import UsageError
from rrdbg.model.timeline.position import START
from rrdbg.model.timeline.snapshot import SnapshotKind
from tests.attach.conftest import Qemu, monitor, stands_at
from tests.cli.conftest import Cli
from tests.engine.conftest import Run
from tests.engine.test_oracle import is_at
from tests.oracle import Oracle

pytestmark = pytest.mark.usefixtures("even")

DENSE = 0.01
"""Seconds between snapshots; the whole recording takes 0.1 s."""


def tags(qemu: Qemu) -> list[str]:
    """What ``qemu-img`` lists in its image."""
    done = subprocess.run(
        ("qemu-img", "snapshot", "-U", "-l", "state.qcow2"),
        cwd=qemu.directory,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split()[1] for line in done.stdout.splitlines()[2:]]


def test_those_that_are_allowed_are_sound_and_go(run: Run[Any], qemu: Qemu, busy: Oracle) -> None:
    (initial,) = tags(qemu)

    async def check() -> None:
        attached = await qemu.attach()
        async with await attach(attached, save_snapshots=True, spacing=DENSE) as replay:
            await replay.seek(replay.timeline.end)
            await replay.seek(busy[10].position)
            named = await replay.snapshot("here")
            laid = replay.timeline.snapshots
            assert len(laid) > 4
            assert {snapshot.kind for snapshot in laid} >= {SnapshotKind.PERIODIC, SnapshotKind.NAMED}
            assert all(replay.timeline.deliveries.is_plain(snapshot.icount) for snapshot in laid)
            assert len(tags(qemu)) == len(laid)
            for index in (1500, 400, 20, 2500, 11):
                await is_at(replay, busy, index, await replay.seek(busy[index].position))
                await is_at(replay, busy, index - 1, await replay.reverse_stepi())
            loaded = replay.timeline.snapshot_at(named.icount)
            assert loaded
            assert loaded.load_seconds
            replay.points.add_breakpoint(busy[5].pc)
            expected = max(i for i in busy.hits(busy[5].pc) if i < 1500)
            await replay.seek(busy[1500].position)
            await is_at(replay, busy, expected, await replay.reverse_cont())
        await attached.release()
        assert attached.saved == []

    run(check())
    assert tags(qemu) == [initial]


def test_the_budget_is_kept(run: Run[Any], qemu: Qemu) -> None:
    async def check() -> None:
        attached = await qemu.attach()
        async with await attach(attached, save_snapshots=True, spacing=DENSE, budget=1) as replay:
            await replay.seek(replay.timeline.end)
            assert len(replay.timeline.snapshots) == 2, "the one over which the budget was used up"
            await replay.seek(START)
        await attached.release()

    run(check())


def test_none_is_saved_unasked(cli: Cli, handmade: Qemu) -> None:
    assert (
        "attach with --save-snapshots to allow it"
        in cli(*handmade.words("snapshot"), check=UsageError.exit_code).stderr
    )
    assert tags(handmade) == ["init"]
    assert "Snapshot 'mine' at" in cli(*handmade.words("seek 50%", "snapshot mine"), "--save-snapshots").stdout
    assert tags(handmade) == ["init"]


def test_snapshots_of_the_users_are_used(cli: Cli, handmade: Qemu) -> None:
    """One that he saves in QEMU's monitor is there when he attaches."""
    cli(*handmade.words("seek 3,000,000"))
    place = stands_at(handmade)
    with monitor(handmade) as ask:
        assert ask("human-monitor-command", **{"command-line": "savevm mine"}) == ""
    done = cli(*handmade.words("seek 3,500,000", "seek 3,100,000", "info snapshots"))
    row = next(line.split() for line in done.stdout.splitlines() if "mine" in line)
    assert (row[0], row[-1]) == (f"{place:,}", "mine")
    assert float(row[4]) > 0, "it was loaded"
