"""The reader of replay logs, against logs that the tests write themselves."""

from __future__ import annotations

import gc
import struct
import tracemalloc
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rrdbg.errors import LogError
from rrdbg.model.timeline.deliveries import Deliveries, Delivery
from rrdbg.model.timeline.profile import Profile
from rrdbg.store.logevents import (
    AudioIn,
    Button,
    CharRead,
    CharWrite,
    Event,
    Key,
    KeySpace,
    Motion,
    Packet,
    Payload,
    Random,
    Touch,
    events,
)
from rrdbg.store.logformat import SHUTDOWN_CAUSES, Kind, Shutdown
from rrdbg.store.replaylog import (
    CorruptLog,
    DamagedLog,
    LogSummary,
    TruncatedLog,
    read_header,
    summarise,
)
from tests.store.logwriter import (
    AXES,
    BUTTONS,
    CAUSES,
    LINUX,
    OLD,
    TOUCH_PHASES,
    VERSIONS,
    Item,
    encode,
    header,
    offsets,
    write_log,
)

CHECKPOINTS = [kind for kind in Kind if kind.name.startswith("CHECKPOINT_")]
PLAIN = [Kind.INTERRUPT, Kind.EXCEPTION, Kind.INPUT_SYNC, *CHECKPOINTS]
END: Item = (Kind.END, None)

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For a machine that is busy with other things."""

u8, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 32, 64))
i32, i64 = (st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (32, 64))
text = st.binary(max_size=40)


def inputs(version: int) -> st.SearchStrategy[Payload]:
    space = st.just(KeySpace.LINUX) if version == LINUX else st.sampled_from([KeySpace.NUMBER, KeySpace.QCODE])
    axes = st.sampled_from(list(AXES))
    return st.one_of(
        st.builds(Key, space, u32, st.booleans()),
        st.builds(Button, st.sampled_from(list(BUTTONS)), st.booleans()),
        st.builds(Motion, axes, i64, st.booleans()),
        st.builds(Touch, st.sampled_from(list(TOUCH_PHASES)), i64, i64, axes, i64),
    )


def payloads(version: int) -> dict[Kind, st.SearchStrategy[Payload]]:
    """For each kind but END what QEMU of that version may write; a shutdown's icount is put in later."""
    ring = u64 if version == OLD else st.none()
    return {
        Kind.INSTRUCTION: u32,
        **dict.fromkeys(PLAIN, st.none()),
        **dict.fromkeys((Kind.BH, Kind.BH_ONESHOT, Kind.BLOCK, Kind.AUDIO_OUT), u64),
        Kind.INPUT: inputs(version),
        Kind.CHAR_READ: st.builds(CharRead, u8, text),
        Kind.NET: st.builds(Packet, u8, u32, text),
        Kind.SHUTDOWN: st.builds(Shutdown, st.just(0), st.sampled_from(list(CAUSES))),
        Kind.CHAR_WRITE: st.builds(CharWrite, i32, i32),
        Kind.CHAR_READ_ALL: text,
        Kind.CHAR_READ_ALL_ERROR: i32,
        Kind.AUDIO_IN: st.builds(AudioIn, st.lists(st.tuples(u64, u64), max_size=5).map(tuple), ring),
        Kind.RANDOM: st.builds(Random, i32, text),
        **dict.fromkeys((Kind.CLOCK_HOST, Kind.CLOCK_VIRTUAL_RT), i64),
    }


def pairs(count: int, first: int, checkpoint: Kind) -> list[Item]:
    """``count`` times instructions and a checkpoint: what real logs mostly consist of."""
    return [
        item
        for number in range(count)
        for item in ((Kind.INSTRUCTION, (first + 0x10307 * number) % (1 << 32)), (checkpoint, None))
    ]


@st.composite
def recordings(draw: st.DrawFn) -> tuple[int, list[Item]]:
    """A version and events for a log, without its END: single ones of all kinds, and runs of pairs."""
    version = draw(st.sampled_from(VERSIONS))
    items: list[Item] = []
    single = st.one_of([st.tuples(st.just(kind), payload) for kind, payload in payloads(version).items()])
    run = st.builds(pairs, st.integers(1, 9), u32, st.sampled_from(CHECKPOINTS))
    for piece in draw(st.lists(st.one_of(single.map(lambda item: [item]), run), max_size=30)):
        items += piece
    return version, placed(items)


def placed(items: list[Item]) -> list[Item]:
    """The items, with each shutdown's icount set to what comes of the instructions before it."""
    return [
        (kind, replace(data, icount=before) if isinstance(data, Shutdown) else data)
        for (kind, data), before in zip(items, icounts(items), strict=False)
    ]


def icounts(items: Iterable[Item]) -> list[int]:
    """The icount before each of the items, and the one after the last."""
    ran = (data if kind is Kind.INSTRUCTION and isinstance(data, int) else 0 for kind, data in items)
    return list(accumulate(ran, initial=0))


def expected_events(version: int, items: list[Item]) -> list[Event]:
    places = zip(offsets(version, items), icounts(items), items, strict=False)
    return [Event(offset, index, icount, *item) for index, (offset, icount, item) in enumerate(places)]


def expected_summary(version: int, size: int, items: list[Item]) -> LogSummary:
    """What a summary of these items is, in a log of ``size`` bytes that may have been damaged after them."""
    where = list(zip(icounts(items), items, strict=False))
    return LogSummary(
        version=version,
        size_bytes=size,
        total=icounts(items)[-1],
        ended=END in items,
        deliveries=Deliveries.of(
            (icount, Delivery(kind)) for icount, (kind, _) in where if kind in {Kind.INTERRUPT, Kind.EXCEPTION}
        ),
        shutdowns=tuple(data for _, (_, data) in where if isinstance(data, Shutdown)),
        char_writes=sum(kind is Kind.CHAR_WRITE for _, (kind, _) in where),
        profile=NO_PROFILE,
    )


NO_PROFILE = Profile()


def without_profile(summary: LogSummary | None) -> LogSummary:
    """``summary`` without the profile, which has samples between any two events; it is looked at for itself."""
    assert summary is not None
    places = list(zip(summary.profile.icounts, summary.profile.sizes, strict=True))
    assert places == sorted(places)
    assert places[-1][0] == summary.total
    return replace(summary, profile=NO_PROFILE)


def one_of_each(version: int) -> list[Item]:
    """A log's items with every kind of event and every form of input, as small as they may be."""
    space = KeySpace.LINUX if version == LINUX else KeySpace.QCODE
    inputs: list[Payload] = [
        Key(space, 28, down=True),
        Button("middle", down=False),
        Motion("x", -7, absolute=False),
        Motion("y", 0x7FFF, absolute=True),
        Touch("begin", 1, 2, "x", 3),
    ]
    if version != LINUX:
        inputs.append(Key(KeySpace.NUMBER, 0xE01C, down=False))
    samples = ((1, 2), (3, (1 << 64) - 1))
    items: list[Item] = [
        (Kind.CLOCK_HOST, 1_795_392_163_596_862_000),
        (Kind.INSTRUCTION, 1000),
        (Kind.INTERRUPT, None),
        (Kind.EXCEPTION, None),
        *pairs(6, 256, Kind.CHECKPOINT_CLOCK_WARP_ACCOUNT),
        (Kind.INSTRUCTION, 0xFFFF_FFFF),
        *((kind, 5) for kind in (Kind.BH, Kind.BH_ONESHOT, Kind.BLOCK, Kind.AUDIO_OUT)),
        *((Kind.INPUT, data) for data in inputs),
        (Kind.INPUT_SYNC, None),
        (Kind.CHAR_READ, CharRead(1, b"ls\n")),
        (Kind.NET, Packet(2, 0, bytes(range(60)))),
        (Kind.CHAR_WRITE, CharWrite(1, 0)),
        (Kind.CHAR_READ_ALL, b"ok"),
        (Kind.CHAR_READ_ALL_ERROR, -11),
        (Kind.AUDIO_IN, AudioIn(samples, 77 if version == OLD else None)),
        (Kind.RANDOM, Random(0, b"\x27\x27\x27\x27")),
        (Kind.CLOCK_VIRTUAL_RT, 123_456),
        *((kind, None) for kind in CHECKPOINTS),
        *((Kind.SHUTDOWN, Shutdown(0, cause)) for cause in CAUSES),
        (Kind.CHAR_WRITE, CharWrite(-11, 0)),
    ]
    return placed(items)


@pytest.mark.parametrize("version", VERSIONS)
def test_writer_and_reader_know_all_kinds(version: int) -> None:
    assert {kind for kind, _ in one_of_each(version)} | {Kind.END} == set(Kind)
    assert tuple(CAUSES) == SHUTDOWN_CAUSES
    assert set(payloads(version)) | {Kind.END} == set(Kind)


def test_version_word_is_returned(log: Callable[[bytes], Path]) -> None:
    assert [read_header(log(header(version))) for version in VERSIONS] == list(VERSIONS)


@patient
@given(recording=recordings())
def test_round_trip(log: Callable[[bytes], Path], recording: tuple[int, list[Item]]) -> None:
    version, items = recording
    content = write_log(version, items)
    path = log(content)
    items = [*items, END]
    assert list(events(path)) == expected_events(version, items)
    assert without_profile(summarise(path)) == expected_summary(version, len(content), items)


@patient
@given(data=st.data(), recording=recordings())
def test_filter_and_range(log: Callable[[bytes], Path], data: st.DataObject, recording: tuple[int, list[Item]]) -> None:
    version, items = recording
    path = log(write_log(version, items))
    everything = expected_events(version, [*items, END])
    positions = sorted({event.icount for event in everything})
    near = st.builds(int.__add__, st.sampled_from(positions), st.integers(-1, 1))
    start, end = data.draw(near), data.draw(st.none() | near)
    kinds = data.draw(st.none() | st.sets(st.sampled_from(list(Kind))))
    assert list(events(path, kinds, start, end)) == [
        event
        for event in everything
        if start <= event.icount and (end is None or event.icount < end) and (kinds is None or event.kind in kinds)
    ]


@pytest.mark.parametrize("count", [3, 4, 4095, 4096, 4097, 9000])
def test_long_runs_of_pairs(log: Callable[[bytes], Path], count: int) -> None:
    items: list[Item] = [
        *pairs(count, 0xFFFF_0000, Kind.CHECKPOINT_CLOCK_VIRTUAL),
        (Kind.INTERRUPT, None),
        *pairs(count, 1, Kind.CHECKPOINT_RESET),
        END,
    ]
    content = write_log(OLD, items[:-1])
    path = log(content)
    assert without_profile(summarise(path)) == expected_summary(OLD, len(content), items)
    everything = expected_events(OLD, items)
    middle, last = everything[2 * count].icount, everything[-1].icount
    assert list(events(path, [Kind.INTERRUPT, Kind.END])) == [everything[2 * count], everything[-1]]
    for turn in (middle - 1, middle, middle + 1, last - 2, last):
        expected = [event for event in everything if event.icount >= turn]
        assert list(events(path, start=turn)) == expected
        assert list(events(path, [Kind.END], end=turn)) == []
        assert list(events(path, [Kind.CHECKPOINT_RESET], turn, turn + 0x20000)) == [
            event for event in expected if event.kind is Kind.CHECKPOINT_RESET and event.icount < turn + 0x20000
        ]


def test_what_ends_a_run_of_pairs(log: Callable[[bytes], Path]) -> None:
    run: list[Item] = [*pairs(5, 1, Kind.CHECKPOINT_INIT), (Kind.INSTRUCTION, 3)]
    looks_like_more = 0x0001_0101_011E_0001  # read one byte late this is an instruction event and a checkpoint
    for kind in (Kind.CLOCK_HOST, Kind.CLOCK_VIRTUAL_RT, Kind.BLOCK):
        items: list[Item] = [*run, (kind, looks_like_more), *run, END]
        content = write_log(OLD, items[:-1])
        path = log(content)
        assert without_profile(summarise(path)) == expected_summary(OLD, len(content), items)
        assert list(events(path, [kind, Kind.END])) == [
            event for event in expected_events(OLD, items) if event.kind in {kind, Kind.END}
        ]


@pytest.mark.parametrize("version", VERSIONS)
def test_truncation_at_every_byte(log: Callable[[bytes], Path], version: int) -> None:
    items = [*one_of_each(version), END]
    whole = write_log(version, items[:-1])
    starts = offsets(version, items)
    everything = expected_events(version, items)
    assert starts[-1] == len(whole)
    for cut in range(len(whole)):
        path = log(whole[:cut])
        if cut < 12:
            with pytest.raises(LogError, match=r"empty|fewer than"):
                summarise(path)
            with pytest.raises(LogError, match=r"empty|fewer than"):
                next(events(path))
            continue
        complete = sum(end <= cut for end in starts[1:])
        with pytest.raises(TruncatedLog, match=f"at byte {starts[complete]:,}, after") as damage:
            summarise(path)
        assert damage.value.offset == starts[complete]
        assert without_profile(damage.value.partial) == expected_summary(version, cut, items[:complete])
        read, error = read_all(events(path))
        assert read == everything[:complete]
        assert isinstance(error, TruncatedLog)
        assert str(error) == str(damage.value)
        unread, error = read_all(events(path, [Kind.END]))
        assert unread == []
        assert str(error) == str(damage.value)


def read_all(iterator: Iterator[Event]) -> tuple[list[Event], LogError | None]:
    """Everything that the iterator gives, and the LogError that ended it."""
    read: list[Event] = []
    try:
        for event in iterator:
            read.append(event)
    except LogError as error:
        return read, error
    return read, None


def bad_input(version: int) -> Iterator[bytes]:
    yield struct.pack(">BI", 5, 5)
    if version != LINUX:
        yield struct.pack(">BII", 5, 0, 2)


@pytest.mark.parametrize("version", VERSIONS)
def test_unknown_events(log: Callable[[bytes], Path], version: int) -> None:
    items = one_of_each(version)
    before = write_log(version, items, end=False)
    for bad in [*(bytes([kind]) for kind in range(40, 256)), *bad_input(version)]:
        path = log(before + bad + bytes(40))
        with pytest.raises(CorruptLog, match=r"no event id|unknown") as damage:
            summarise(path)
        assert damage.value.offset == len(before)
        assert without_profile(damage.value.partial) == expected_summary(version, len(before + bad) + 40, items)
        read, error = read_all(events(path, [Kind.SHUTDOWN]))
        assert len(read) == len(CAUSES)
        assert str(error) == str(damage.value)


def test_bytes_after_the_end(log: Callable[[bytes], Path]) -> None:
    path = log(write_log(OLD, [(Kind.INSTRUCTION, 7)]) + b"xyz")
    with pytest.raises(CorruptLog, match="3 bytes follow the END event") as damage:
        summarise(path)
    assert damage.value.partial is not None
    assert (damage.value.partial.ended, damage.value.partial.total) == (True, 7)
    with pytest.raises(CorruptLog, match="3 bytes follow the END event"):
        list(events(path))


def test_damage_behind_the_range_is_not_looked_for(log: Callable[[bytes], Path]) -> None:
    path = log(write_log(OLD, [(Kind.INSTRUCTION, 7), (Kind.INTERRUPT, None), (Kind.INSTRUCTION, 1)], end=False))
    assert [event.kind for event in events(path, end=8)] == [Kind.INSTRUCTION, Kind.INTERRUPT, Kind.INSTRUCTION]
    with pytest.raises(TruncatedLog, match="without the END event"):
        list(events(path, end=9))


@pytest.mark.parametrize("head", [b"\x07\0", b"\x09\0\0\0\0\0", b"\x17", b"\x1b\0\0\0\0", b"\x1a"])
def test_an_array_longer_than_the_file(log: Callable[[bytes], Path], head: bytes) -> None:
    path = log(header(OLD) + head + b"\xff" * 16)
    with pytest.raises(TruncatedLog, match="ends inside") as damage:
        summarise(path)
    assert damage.value.offset == 12


@settings(patient, max_examples=400)
@given(version=st.sampled_from(VERSIONS), noise=st.binary(max_size=300))
def test_noise_is_an_error_or_a_log(log: Callable[[bytes], Path], version: int, noise: bytes) -> None:
    path = log(header(version) + noise)
    read, error = read_all(events(path))
    if error is None:
        assert summarise(path).total == read[-1].icount
        return
    with pytest.raises(DamagedLog) as damage:
        summarise(path)
    assert str(damage.value) == str(error)
    partial = damage.value.partial
    assert partial is not None
    assert len(partial.deliveries) == sum(event.kind in {Kind.INTERRUPT, Kind.EXCEPTION} for event in read)
    end = 12 if not read else read[-1].offset + len(encode(version, read[-1].kind, read[-1].data))
    if isinstance(damage.value, TruncatedLog):
        assert damage.value.offset == end


@patient
@given(noise=st.binary(max_size=30))
def test_noise_as_header(log: Callable[[bytes], Path], noise: bytes) -> None:
    if int.from_bytes(noise[:4]) in VERSIONS and len(noise) >= 12:
        return
    with pytest.raises(LogError):
        read_header(log(noise))


def test_headers_that_cannot_be_read(log: Callable[[bytes], Path], tmp_path: Path) -> None:
    def complaint(path: Path) -> str:
        with pytest.raises(LogError) as error:
            summarise(path)
        assert str(path) in str(error.value)
        return str(error.value)

    assert "No such file" in complaint(tmp_path / "missing.bin")
    assert "no regular file" in complaint(tmp_path)
    assert "is empty" in complaint(log(b""))
    assert "5 bytes, fewer than" in complaint(log(b"\0\xe0\x20\x0c\0"))
    assert "recorder was killed" in complaint(log(bytes(4096)))
    unknown = complaint(log(header(0xE0200B)))
    assert "version 0xe0200b" in unknown
    assert all(f"{version:#x}" in unknown for version in VERSIONS)
    assert "not a QEMU replay log: it begins with 7f 45 4c 46" in complaint(log(b"\x7fELF" + bytes(60)))


@patient
@given(recording=recordings(), ended=st.booleans())
def test_summary_survives_its_cache(
    log: Callable[[bytes], Path], recording: tuple[int, list[Item]], ended: bool
) -> None:
    version, items = recording
    numbers = array("Q", accumulate(range(len(items))))
    summary = replace(
        expected_summary(version, 12345, [*items, END] if ended else items), profile=Profile(numbers, numbers)
    )
    assert LogSummary.from_bytes(summary.to_bytes()) == summary


@patient
@given(recording=recordings())
def test_the_profile_tells_where_the_log_is(log: Callable[[bytes], Path], recording: tuple[int, list[Item]]) -> None:
    version, items = recording
    path = log(content := write_log(version, items))
    items = [*items, END]
    profile = summarise(path).profile
    begins = dict(zip(icounts(items), offsets(version, items), strict=False))
    assert profile.upto(icounts(items)[-1]) == len(content)
    for icount, size in zip(profile.icounts, profile.sizes, strict=True):
        assert size == len(content) or begins[icount] <= size + len(content) // 4096 + 1 + 24_576


def test_a_damaged_cache_is_refused() -> None:
    whole = expected_summary(OLD, 99, [*one_of_each(OLD), END]).to_bytes()
    damaged = [
        *(whole[:cut] for cut in range(len(whole))),
        *(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))),
        whole + b"\0",
        b"\0" * len(whole),
    ]
    for content in damaged:
        with pytest.raises(LogError, match="delete it"):
            LogSummary.from_bytes(content)


def test_first_shutdown_and_resets() -> None:
    items: list[Item] = [(Kind.SHUTDOWN, Shutdown(0, cause)) for cause in ("guest-reset", "guest-shutdown")]
    summary = expected_summary(OLD, 14, items)
    assert summary.shutdown == Shutdown(0, "guest-reset")
    assert [request.is_reset for request in summary.shutdowns] == [True, False]
    assert replace(summary, shutdowns=()).shutdown is None


def test_memory_does_not_grow_with_the_log(log: Callable[[bytes], Path]) -> None:
    run = write_log(OLD, pairs(5000, 9, Kind.CHECKPOINT_CLOCK_WARP_START), end=False)[12:]
    others = write_log(OLD, one_of_each(OLD), end=False)[12:]
    path = log(header(OLD) + 50 * run + 50 * others + 50 * (run + others) + b"\x27")
    assert path.stat().st_size > 3_000_000
    late = summarise(path).total * 99 // 100
    gc.collect()
    tracemalloc.start()
    try:
        assert sum(1 for _ in events(path, [Kind.NET, Kind.END])) == 101
        assert sum(1 for _ in events(path, [Kind.INSTRUCTION], start=late)) > 1000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 300_000


def test_names_of_keys() -> None:
    assert Key(KeySpace.QCODE, 35, down=True).name == "ret"
    assert Key(KeySpace.QCODE, 999, down=True).name == "qcode-999"
    assert Key(KeySpace.LINUX, 28, down=True).name == "linux-28"
    assert Key(KeySpace.NUMBER, 28, down=True).name == "number-28"
