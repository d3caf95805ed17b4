"""Fixtures for the whole suite: the guests, kept in build/guests, and a recording with stretches of it as oracles."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from rrdbg.engine.machines.walk import Walker
from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.engine.replay import Replay
from rrdbg.engine.snapshots.keeper import Keeper
from rrdbg.links.watchdog import ProgressCallback
from rrdbg.model.timeline.cost import Rates
from rrdbg.model.timeline.deliveries import Delivery
from rrdbg.model.timeline.position import Position
from rrdbg.store.recording import Recording
from tests.guests import linux
from tests.guests.build import QEMU_OPTIONS, GuestError, build, symbol
from tests.guests.linux import LinuxGuest, build_linux
from tests.guests.linux.processes import Processes, build_processes
from tests.oracle import Oracle, observe
from tests.processes import wait_until_gone, wait_until_swept
from tests.recordings import made_once

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

GUEST_DIR = Path(__file__).parent.parent / "build" / "guests"


BROWSER_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1280,720",
)  # fmt: skip


@contextmanager
def failing_clearly(name: str) -> Iterator[None]:
    """Turn a guest that cannot be built into a failed test with the reason alone, without a traceback."""
    try:
        yield
    except GuestError as error:
        pytest.fail(f"Cannot build the guest {name}: {error}", pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def _temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for temporary files that nothing but these tests uses."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("t")
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        # Which recordings are ours is noted there; the user's own list has nothing to do with it.
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        # A thousand of our processes are started, and without it half of the start is compiling.
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", str(GUEST_DIR.with_name("bytecode")))
        yield folder


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path: Path, _temporary: Path) -> Iterator[None]:
    """No QEMU of a test's may outlive it, and no folder of ours among the temporary files."""
    yield
    wait_until_gone(tmp_path)
    wait_until_swept(_temporary)


EVEN_SECONDS = 12e-9
"""What each instruction of an ``even`` replay takes: 0.1 s for all of workload."""


@pytest.fixture
def even(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaying takes as long as there are instructions, and each snapshot is written by the end of the next piece.

    So where snapshots are left does not depend on how quick this host and its disk are, and what they do besides.
    """
    run = Keeper._run

    async def timed(keeper: Keeper, walker: Walker, goal: int, told: ProgressCallback | None) -> tuple[float, bool]:
        start = walker.position.icount
        _, whole = await run(keeper, walker, goal, told)
        await keeper._kept()
        return max((walker.position.icount - start) * EVEN_SECONDS, 1e-4), whole

    monkeypatch.setattr(Keeper, "_run", timed)
    # A piece that takes so long is broken off, and has no snapshot at its end.
    monkeypatch.setattr("rrdbg.engine.snapshots.keeper._LEAST_CUT", 3600.0)
    monkeypatch.setattr("rrdbg.store.timeline_file.expected_rates", lambda *_: Rates(EVEN_SECONDS, 0.0))


@pytest.fixture(scope="session")
def workload_guest() -> Path:
    """The ELF file of a deterministic bare-metal program (tests/guests/workload)."""
    with failing_clearly("workload"):
        return build("workload", GUEST_DIR)


@pytest.fixture(scope="session")
def heapbug_guest() -> Path:
    """The ELF file of a bare-metal program with a planted bug (tests/guests/heapbug)."""
    with failing_clearly("heapbug"):
        return build("heapbug", GUEST_DIR)


@pytest.fixture(scope="session")
def linux_guest() -> LinuxGuest:
    """Debian's cloud kernel and a busybox initramfs (tests/guests/linux); for tests marked ``linux``."""
    with failing_clearly("linux"):
        return build_linux(GUEST_DIR)


@pytest.fixture(scope="session")
def processes() -> Processes:
    """A Linux guest whose only program runs three times at once; for tests marked ``linux``."""
    with failing_clearly("processes"):
        return build_processes(GUEST_DIR)


@pytest.fixture(scope="session")
def processes_recording(tmp_path_factory: pytest.TempPathFactory, processes: Processes) -> Path:
    """A recording of it, to its panic; not to be changed."""
    return made_once(tmp_path_factory, "processes", lambda directory: run_recorder(processes.command, directory))


def run_recorder(command: Sequence[str], directory: Path, **options: Any) -> Path:
    return asyncio.run(Recorder(RecordRequest(tuple(command), directory, **options)).run()).directory


def record(elf: Path, directory: Path, words: Sequence[str] = (), **options: Any) -> Path:
    command = ("qemu-system-x86_64", *QEMU_OPTIONS, "-serial", "stdio", "-kernel", str(elf), *words)
    return run_recorder(command, directory, **options)


@pytest.fixture(scope="session")
def workload(tmp_path_factory: pytest.TempPathFactory, workload_guest: Path) -> Path:
    """A recording of workload, to its power-off; not to be changed."""
    return made_once(tmp_path_factory, "workload", lambda directory: record(workload_guest, directory))


@pytest.fixture(scope="session")
def heapbug(tmp_path_factory: pytest.TempPathFactory, heapbug_guest: Path) -> Path:
    """A recording of heapbug up to its panic; not to be changed."""
    return made_once(
        tmp_path_factory, "heapbug", lambda directory: record(heapbug_guest, directory, until_console="PANIC")
    )


@pytest.fixture(scope="session")
def watched(workload_guest: Path) -> dict[int, int]:
    """Variables of workload: ``counter`` and the first words of ``ring``."""
    return {symbol(workload_guest, name).address: 8 for name in ("counter", "ring")}


@pytest.fixture(scope="session")
def busy(workload: Path, watched: dict[int, int]) -> Oracle:
    """A stretch of workload with a timer interrupt, some calculation and writes to variables."""
    with Recording.open(workload) as recording:
        icounts = recording.log.deliveries.icounts
        kinds = recording.log.deliveries.kinds
    interrupts = [icount for icount, kind in zip(icounts, kinds, strict=True) if kind == 1]
    return asyncio.run(observe(workload, interrupts[len(interrupts) // 2] - 900, 3000, watched))


@pytest.fixture(scope="session")
def exceptional(workload: Path, watched: dict[int, int]) -> Oracle:
    """A stretch with ``int 0x80``, ``ud2``, ``rep stosb`` and ``rep movsb``."""
    with Recording.open(workload) as recording:
        deliveries = recording.log.deliveries
    exceptions = [icount for icount in deliveries.icounts if Delivery.EXCEPTION in deliveries.at(icount)]
    # Each 32 rounds an ud2 soon follows an int 0x80; each 64 rounds the string instructions follow that.
    pairs = [low for low, high in itertools.pairwise(exceptions) if high - low < 100]
    for start in pairs[4:6]:
        oracle = asyncio.run(observe(workload, start - 100, 1500, watched))
        repeated = sum(before.pc == after.pc for before, after in itertools.pairwise(oracle.entries))
        if repeated > 1000:
            return oracle
    pytest.fail("no string instructions where they were expected")


@pytest.fixture(scope="session")
def idling(
    workload: Path, workload_guest: Path, watched: dict[int, int], tmp_path_factory: pytest.TempPathFactory
) -> Oracle:
    """A stretch with ``hlt`` and the timer interrupt that ends it."""
    # A search leaves what it has found with the recording, and others must not know that.
    searched = shutil.copytree(workload, tmp_path_factory.mktemp("searched") / "workload")
    entry = symbol(workload_guest, "wait_for_tick").address

    async def find() -> Position:
        async with await Replay.open(searched) as replay:
            replay.points.add_breakpoint(entry)
            await replay.cont()
            return (await replay.cont()).position

    return asyncio.run(observe(workload, asyncio.run(find()).icount - 150, 500, watched))


@pytest.fixture(scope="session")
def boot(workload: Path) -> Oracle:
    """The first instructions: the reset vector, real mode, 16-bit code."""
    return asyncio.run(observe(workload, 0, 400))


@pytest.fixture(scope="session")
def ending(workload: Path, watched: dict[int, int]) -> Oracle:
    """The last instructions, up to the end."""
    with Recording.open(workload) as recording:
        end = recording.manifest.end
    oracle = asyncio.run(observe(workload, end - 600, 2000, watched))
    assert oracle.entries[-1].position.icount == end
    return oracle


@pytest.fixture(scope="session")
def linux_recording(tmp_path_factory: pytest.TempPathFactory, linux_guest: LinuxGuest) -> Path:
    """A recording of Linux from its start to its power-off; not to be changed."""
    command = (
        "qemu-system-x86_64", *linux.QEMU_OPTIONS, "-nographic", "-no-reboot", "-kernel", str(linux_guest.kernel),
        "-initrd", str(linux_guest.initrd), "-append", linux_guest.cmdline,
    )  # fmt: skip
    return made_once(tmp_path_factory, "linux", lambda directory: run_recorder(command, directory))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A headless Chromium with a profile of its own, and no way to fetch anything."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or pytest.fail("chromium is missing; run 'make setup'")
    for option in (*BROWSER_OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = shutil.which("chromedriver") or pytest.fail("chromedriver is missing; run 'make setup'")
    chrome = Chrome(options, ChromeService(driver))
    try:
        yield chrome
    finally:
        chrome.quit()
