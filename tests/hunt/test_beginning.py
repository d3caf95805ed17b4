"""``rrdbg hunt --from``: recordings that begin in the middle of another one, go on as that did, and replay exactly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rrdbg.engine.hunt.attempt import Guest, attempt
from rrdbg.engine.making.beginning import Beginning
from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.engine.queries.compare import difference
from rrdbg.engine.replay import Replay
from rrdbg.errors import ImageError
from rrdbg.frontends.cli.main import main
from rrdbg.links.vmstate_clock import as_beginning
from rrdbg.model.hunt.perturbation import Perturbation
from rrdbg.model.timeline.position import Position
from rrdbg.store.archive import pack, unpack
from rrdbg.store.recording import Recording, adopt
from rrdbg.store.timeline_file import load_timeline
from tests.cli.conftest import bare_metal

PLACE = 6_000_000
GoesOn = Callable[..., Path]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, workload_guest: Path) -> Path:
    """A recording of workload whose idle time ends at once, so that the host has no part in its future."""
    directory = tmp_path_factory.mktemp("source") / "source"
    return asyncio.run(Recorder(RecordRequest(bare_metal(workload_guest), directory, sleeps=False)).run()).directory


@pytest.fixture(scope="module")
def begun(source: Path) -> tuple[Beginning, int]:
    """A place in it: the beginning of others, and the icount."""

    async def find() -> tuple[Beginning, int]:
        async with await Replay.open(source) as replay:
            icount = replay.timeline.landing_before(Position(PLACE))
            await replay.seek(Position(icount))
            return Beginning.of(replay.recording, icount, await replay.state()), icount

    return asyncio.run(find())


@pytest.fixture(scope="module")
def goes_on(tmp_path_factory: pytest.TempPathFactory, begun: tuple[Beginning, int]) -> GoesOn:
    """Recordings that go on from there."""
    folder = tmp_path_factory.mktemp("from")

    def record(name: str, **perturbation: int | str) -> Path:
        guest = Guest(["qemu-system-x86_64"], timeout=30, beginning=begun[0])
        made = Perturbation(**perturbation)  # type: ignore[arg-type]  # as the tests have them
        directory = asyncio.run(attempt(guest, made, folder / name)).directory
        adopt(directory)
        return directory

    return record


@pytest.fixture(scope="module")
def same(goes_on: GoesOn) -> Path:
    """One that differs in nothing."""
    return goes_on("same")


def deliveries(path: Path, since: int = 0) -> list[tuple[int, int]]:
    with Recording.open(path) as recording:
        found = recording.log.deliveries
        return [
            (icount - since, kind) for icount, kind in zip(found.icounts, found.kinds, strict=True) if icount >= since
        ]


def test_the_future_is_the_same_where_nothing_differs(source: Path, same: Path, begun: tuple[Beginning, int]) -> None:
    """Each interrupt and exception comes where the forward run has it, and so does the end."""
    beginning, since = begun
    assert len(deliveries(same)) > 100
    assert deliveries(same) == deliveries(source, since)
    with Recording.open(source) as old, Recording.open(same) as new:
        assert new.manifest.begins_in == beginning.place == f"source at {since:,}"
        assert new.manifest.end == old.manifest.end - since
        printed = new.layout.console.read_bytes()
        assert b"done" in printed
        assert old.layout.console.read_bytes().endswith(printed)


async def test_it_replays_to_the_states_of_the_forward_run(
    source: Path, same: Path, begun: tuple[Beginning, int]
) -> None:
    """Registers and RAM are those that the first recording has at the same place."""
    since = begun[1]
    async with await Replay.open(source) as old, await Replay.open(same) as new:
        end = new.timeline.end.icount
        # Backwards too, and twice at one place: each goes there by machines of its own.
        for icount in (0, end // 3, end, end // 2, 1, end // 3):
            landing = new.timeline.landing_before(Position(icount))
            await old.seek(Position(landing + since))
            await new.seek(Position(landing))
            found = await difference(old, new)
            assert found is not None  # the positions
            assert (found.registers, found.memory) == ({}, None), icount


async def test_it_is_packed_and_opened_without_the_one_it_began_in(same: Path, tmp_path: Path) -> None:
    with Recording.open(same) as recording:
        for _ in pack(recording, tmp_path / "packed", load_timeline(recording), everything=False):
            pass
    moved = tmp_path / "elsewhere" / "moved"
    for _ in unpack(tmp_path / "packed", moved):
        pass
    async with await Replay.open(same) as old, await Replay.open(moved) as new:
        for position in (new.timeline.end, Position(new.timeline.landing_before(Position(1000)))):
            await old.seek(position)
            await new.seek(position)
            assert await difference(old, new) is None


@pytest.mark.parametrize("perturbation", [{"later": 300_000}, {"shift": 3}, {"shift": 8}])
async def test_another_future_replays_exactly_too(goes_on: GoesOn, same: Path, perturbation: dict[str, int]) -> None:
    """Other interrupts, and a machine that goes through them one way, however it was brought there."""
    path = await asyncio.to_thread(goes_on, str(perturbation), **perturbation)
    assert deliveries(path) != deliveries(same)
    async with await Replay.open(path) as replay:
        end = replay.timeline.end
        await replay.seek(end)
        first = await (await replay.machine()).register_packet()
        await replay.seek(Position(replay.timeline.landing_before(Position(end.icount // 2))))
        await replay.seek(end)
        assert await (await replay.machine()).register_packet() == first


def test_a_hunt_finds_it_from_there(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RRDBG_DIR", str(tmp_path / "library"))
    words = ("--until-console", "workload: done", "--json", "--seed", "1", "--no-explain")
    assert main(["hunt", "--from", f"{source}@{PLACE}", *words]) == 0
    end = json.loads(capsys.readouterr().out.splitlines()[-1])
    with Recording.open(Path(end["kept"][0])) as recording:
        assert recording.manifest.begins_in.startswith("source at ")
        assert recording.own
    assert not list((tmp_path / "library").glob("*rrdbg-*"))


def test_nothing_begins_in_what_somebody_else_has_made(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What begins in it would count as made here."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "nobody's state"))
    monkeypatch.setenv("RRDBG_DIR", str(tmp_path / "library"))
    assert main(["hunt", "--from", f"{source}@{PLACE}", "--until-console", "X"]) == 2
    assert "which was not made here" in capsys.readouterr().err
    assert not (tmp_path / "library").exists()


@pytest.mark.parametrize(
    ("words", "shift", "says"),
    [
        (["-drive", "file=disk.img,format=raw,if=virtio"], "5", "its guest can write to a disk"),
        ([], "auto", "no fixed rate (shift=auto)"),
    ],
)
def test_what_no_recording_can_begin_in_yet(
    words: list[str], shift: str, says: str, workload_guest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Said before anything runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RRDBG_DIR", str(tmp_path / "library"))
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    command = [*bare_metal(workload_guest), *words]
    asyncio.run(Recorder(RecordRequest(command, tmp_path / "other", shift, max_icount=100_000)).run())
    with monkeypatch.context() as patched:
        patched.setattr("rrdbg.links.process.QemuProcess.start", lambda *words, **more: pytest.fail("a QEMU runs"))
        assert main(["hunt", "--from", "other@50%", "--until-console", "X"]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "library").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--from", "nothing"], "write RECORDING@POSITION"),
        (["--from", "nothing@5"], "There is no recording nothing"),
        (["--from", "nothing@5", "--memory", "32M"], "--from goes on with one"),
        (["--from", "nothing@5", "--vary", "date"], "and not in date"),
        (["--from", "nothing@5", "--", "qemu-system-x86_64"], "give no QEMU command"),
    ],
)
def test_what_cannot_be_is_said(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hunt", "--until-console", "X", *words]) != 0
    assert says in capsys.readouterr().err


def test_a_state_that_is_none_is_refused() -> None:
    for state in (b"", b"\x05\x0ctimer/icount" * 2, b"\x05\x0ctimer/icount" + bytes(40)):
        with pytest.raises(ImageError, match="The machine's state"):
            as_beginning(state, 5)
