"""One state by every route; and a cursor that stays exact when a movement is cancelled or QEMU dies."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from rrdbg.engine.machines.progress import Progress
from rrdbg.engine.replay import Replay
from rrdbg.errors import Divergence, Interrupted, LinkError, QemuDied
from rrdbg.links import watchdog
from rrdbg.links.confinement import Measure
from rrdbg.links.process import QemuProcess
from rrdbg.model.hits.stop import Breakpoint, Stop
from rrdbg.model.timeline.position import START, Position
from tests.engine.conftest import Run
from tests.oracle import Oracle
from tests.processes import qemus_in
from tests.recordings import fresh_copy

RAM = 16 << 20


async def state(replay: Replay) -> tuple[bytes, str]:
    """The registers and a checksum of all RAM at the cursor."""
    guest = await replay.machine()
    image = guest.directory / "ram"  # it may write nowhere else
    await guest.qmp.execute("pmemsave", val=0, size=RAM, filename=str(image))
    return await guest.register_packet(), hashlib.sha256(image.read_bytes()).hexdigest()


def test_every_route_leads_to_the_same_state(run: Run[Any], replay: Replay, busy: Oracle) -> None:
    async def check() -> None:
        there = busy[1500].position
        await replay.seek(there)
        expected = await state(replay)
        assert expected[0] == busy[1500].packet

        async def same() -> None:
            assert replay.position == there
            assert await state(replay) == expected

        for index in (200, 1400, 1499):
            await replay.seek(busy[index].position)
            await replay.snapshot()
        await replay.seek(START)
        await replay.seek(there)
        await same()
        await replay.seek(busy[1450].position)
        await replay.stepi(50)
        await same()
        await replay.seek(busy[1650].position)
        await replay.reverse_stepi(150)
        await same()
        replay.points.add_breakpoint(busy[1500].pc)
        await replay.seek(busy[1501].position)
        await replay.reverse_cont()
        await same()
        await replay.seek(busy[max(i for i in [0, *busy.hits(busy[1500].pc)] if i < 1500)].position)
        await replay.cont()
        await same()
        replay.points.delete()
        await replay.seek(replay.timeline.end)
        await replay.seek(there)
        await same()

    run(check())


@pytest.mark.parametrize("movement", ["cont", "reverse_cont", "stepi", "seek"])
@pytest.mark.parametrize("moment", [0.0, 0.02, 0.1, 0.3])
def test_a_cancelled_movement_leaves_an_exact_cursor(
    run: Run[Any], replay: Replay, busy: Oracle, movement: str, moment: float
) -> None:
    async def check() -> None:
        await replay.seek(busy[100].position)
        replay.points.add_breakpoint(0xDEAD_0000)
        movements: dict[str, Callable[[], Coroutine[Any, Any, Stop]]] = {
            "cont": replay.cont,
            "reverse_cont": replay.reverse_cont,
            "stepi": lambda: replay.stepi(100_000),
            "seek": lambda: replay.seek(Position(1_000_000)),
        }
        task = asyncio.create_task(movements[movement]())
        await asyncio.wait((task,), timeout=moment)
        task.cancel()
        try:
            await task
        except Interrupted:
            pass
        except asyncio.CancelledError:
            assert moment == 0, "only a movement that has not begun is cancelled like any task"
        here = replay.position
        packet = await (await replay.machine()).register_packet()
        await replay.seek(START)
        await replay.seek(here)
        assert await (await replay.machine()).register_packet() == packet
        await replay.seek(busy[200].position)
        assert await (await replay.machine()).register_packet() == busy[200].packet

    run(check())


def killing(scratch: Path, most: int, spared: Collection[int]) -> Callable[[Progress], None]:
    """A listener to a movement that kills each QEMU which is about to run, but no more than ``most``."""
    killed: set[int] = set()

    def listen(_: Progress) -> None:
        for pid in qemus_in(scratch):
            if pid not in killed and pid not in spared and len(killed) < most:
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)

    return listen


MOVEMENTS: dict[str, Callable[[Replay], Coroutine[Any, Any, Stop]]] = {
    "cont": Replay.cont,
    "reverse_cont": Replay.reverse_cont,
    "seek": lambda replay: replay.seek(replay.timeline.end),
}


@pytest.mark.parametrize("movement", MOVEMENTS)
def test_a_movement_whose_qemu_is_killed_is_made_once_more(
    run: Run[Any], replay: Replay, busy: Oracle, movement: str, tmp_path: Path
) -> None:
    async def check() -> None:
        move = MOVEMENTS[movement]
        here = busy[1000].position
        replay.points.add_breakpoint(busy[1000].pc)
        await replay.seek(here)
        expected = await move(replay)
        packet = await (await replay.machine()).register_packet()
        await replay.seek(here)
        # A search runs in a machine of its own.
        spared = qemus_in(tmp_path) if movement == "reverse_cont" else ()
        replay.on_progress = killing(tmp_path, 1, spared)
        assert await move(replay) == expected
        assert await (await replay.machine()).register_packet() == packet
        await replay.seek(here)
        replay.on_progress = killing(tmp_path, 2, qemus_in(tmp_path) if spared else ())
        with pytest.raises(QemuDied, match=r"so has the one .* as before.*SIGKILL.*SIGKILL"):
            await move(replay)
        assert replay.position == here
        replay.on_progress = lambda progress: None
        assert await move(replay) == expected

    run(check())


def test_a_killed_qemu_is_replaced(run: Run[Any], replay: Replay, busy: Oracle) -> None:
    """Between movements, whether its death is known already or not, to step and to read."""

    async def check() -> None:
        await replay.seek(busy[100].position)
        os.kill((await replay.machine()).process.pid, signal.SIGKILL)
        stop = await replay.stepi()
        assert (stop.position, stop.pc) == (busy[101].position, busy[101].pc)
        assert (await (await replay.machine()).register_packet()) == busy[101].packet
        os.kill((await replay.machine()).process.pid, signal.SIGKILL)
        assert (await replay.reverse_stepi()).pc == busy[100].pc
        os.kill((await replay.machine()).process.pid, signal.SIGKILL)
        assert await replay.registers() == busy.registers(100)

    run(check())


def test_a_scan_goes_on_where_its_qemu_died(run: Run[Any], replay: Replay, busy: Oracle, tmp_path: Path) -> None:
    async def check() -> None:
        pc = busy[1000].pc
        points = [Breakpoint(1, pc)]
        first, last = busy[0].position, busy[len(busy) - 1].position
        found = []
        async with aclosing(replay.scan(points, first, last)) as hits:
            async for hit in hits:
                found.append(hit.position)
                if len(found) == 2:
                    for pid in qemus_in(tmp_path):
                        os.kill(pid, signal.SIGKILL)
        assert found == [busy[index].position for index in busy.hits(pc)]

    run(check())


def test_a_qemu_that_is_killed_while_it_starts_is_no_fault_of_its_snapshot(
    run: Run[Any], replay: Replay, busy: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        await replay.seek(busy[1000].position)
        snapshot = await replay.snapshot("here")
        await replay.seek(replay.timeline.end)
        begin = QemuProcess.__init__
        killed: list[int] = []

        def kill_first(
            self: QemuProcess,
            process: subprocess.Popen[bytes],
            command: Sequence[str],
            files: Mapping[int, Path],
        ) -> None:
            begin(self, process, command, files)
            if not killed and "-incoming" in command:
                killed.append(process.pid)
                process.kill()

        monkeypatch.setattr(QemuProcess, "__init__", kill_first)
        await replay.seek(busy[1001].position)
        assert killed
        assert await (await replay.machine()).register_packet() == busy[1001].packet
        kept = replay.timeline.snapshot_at(snapshot.icount)
        assert kept is not None
        assert kept.sound is not False

    run(check())


def test_how_a_qemu_ended_is_told_however_it_is_asked(run: Run[Any], replay: Replay) -> None:
    """Whoever reaps the process first must not take its exit status from the others."""

    async def check() -> None:
        for _ in range(10):
            process = (await replay.machine()).process
            os.kill(process.pid, signal.SIGKILL)
            await process.kill()
            assert "was killed by SIGKILL" in str(await process.death())
            assert not process.alive

    run(check())


def test_a_cancel_while_the_old_machine_ends_loses_no_machine(
    run: Run[Any], replay: Replay, busy: Oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new one stands at the target by then."""

    async def check() -> None:
        await replay.seek(busy[900].position)
        old = await replay.machine()
        close, begun = old.close, asyncio.Event()

        async def close_and_tell() -> None:
            begun.set()
            await close()

        monkeypatch.setattr(old, "close", close_and_tell)
        moving = asyncio.create_task(replay.seek(busy[10].position))
        await begun.wait()
        moving.cancel()
        with pytest.raises(Interrupted):
            await moving
        assert replay.position == busy[10].position
        assert await (await replay.machine()).register_packet() == busy[10].packet
        assert len(qemus_in(tmp_path)) == 1

    run(check())


@pytest.mark.parametrize("turns", [1, 2, 3, 5])
def test_a_machine_is_closed_whole_even_if_that_is_cancelled(run: Run[Any], replay: Replay, turns: int) -> None:
    """What is left open is an error of this test: a socket that is collected open warns."""

    async def check() -> None:
        machine = await replay.machine()
        closing = asyncio.create_task(machine.close())
        for _ in range(turns):
            await asyncio.sleep(0)
        closing.cancel()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert not machine.process.alive
        assert not machine.directory.exists()

    run(check())
    gc.collect()


def test_a_qemu_that_stands_still_is_noticed(
    run: Run[Any], replay: Replay, busy: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process answers nothing; the watchdog gives up and the next movement gets a new QEMU."""
    monkeypatch.setattr(watchdog, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr("rrdbg.links.qmp.COMMAND_SECONDS", 1.0)
    monkeypatch.setattr("rrdbg.links.rsp.ANSWER_SECONDS", 1.0)

    async def check() -> None:
        await replay.seek(busy[100].position)
        pid = (await replay.machine()).process.pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(LinkError) as caught:
            await replay.stepi()
        assert "QEMU" in str(caught.value) or isinstance(caught.value, Divergence)
        assert replay.position == busy[100].position
        assert (await replay.stepi()).position == busy[101].position
        assert not Path(f"/proc/{pid}").exists()

    run(check())


def test_nothing_is_left_of_a_closed_replay(run: Run[Any], workload: Path, busy: Oracle) -> None:
    async def check() -> int:
        async with await Replay.open(workload) as opened:
            await opened.seek(busy[100].position)
            return (await opened.machine()).process.pid

    pid = run(check())
    assert not Path(f"/proc/{pid}").exists()
    assert not (workload / "scratch").exists()


async def test_a_qemu_or_kernel_without_io_uring_loads_snapshots_by_threads(
    workload: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy: Oracle
) -> None:
    tried = tmp_path / "tried"
    qemu = tmp_path / "qemu-system-x86_64"
    qemu.write_text(
        f'#!/bin/sh\ncase "$*" in *io_uring*) echo >>{tried}\n'
        "echo 'qemu: -drive: Unable to use io_uring: failed to init linux io_uring ring: Operation not permitted' >&2\n"
        f'exit 1;; esac\nexec {shutil.which(qemu.name)} "$@"\n'
    )
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("RRDBG_SNAPSHOTS", "loadvm")  # else only the first QEMU of a recording reads so much

    async def nothing(_: Path) -> frozenset[Measure]:
        return frozenset()  # a confined one is not told to

    monkeypatch.setattr("rrdbg.engine.machines.confined.measures_for", nothing)
    copy = fresh_copy(workload, tmp_path / "copy")
    async with await Replay.open(copy) as replay:
        for entry in (busy[900], busy[100]):
            assert (await replay.seek(entry.position)).pc == entry.pc
    assert len(tried.read_text().splitlines()) == 1


async def test_a_qemu_that_was_built_without_seccomp_runs_without(
    workload: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy: Oracle
) -> None:
    qemu = tmp_path / "qemu-system-x86_64"
    qemu.write_text(
        '#!/bin/sh\ncase "$*" in *-sandbox*)\n'
        "echo 'qemu: -sandbox on: seccomp support is disabled' >&2\n"
        f'exit 1;; esac\nexec {shutil.which(qemu.name)} "$@"\n'
    )
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    async with await Replay.open(Path(shutil.copytree(workload, tmp_path / "copy"))) as replay:
        for entry in (busy[900], busy[100]):
            assert (await replay.seek(entry.position)).pc == entry.pc
        assert b"-sandbox" not in Path(f"/proc/{(await replay.machine()).process.pid}/cmdline").read_bytes()
        assert any("sandbox" in told and told.startswith("not on this host") for told in replay.confinement)


async def test_a_replaying_qemu_cannot_start_programs(workload: Path, tmp_path: Path) -> None:
    """Seccomp is on in it (mode 2), and it may not gain rights by a program that has some."""
    async with await Replay.open(Path(shutil.copytree(workload, tmp_path / "copy"))) as replay:
        status = Path(f"/proc/{(await replay.machine()).process.pid}/status").read_text()
    assert "Seccomp:\t2" in status
    assert "NoNewPrivs:\t1" in status
