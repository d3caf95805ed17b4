"""The Python API, synchronous and asynchronous, against the oracle."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import rrdbg
from rrdbg.engine.machines.progress import Progress
from rrdbg.errors import GdbError, OutOfRange, RspError, UsageError
from rrdbg.frontends.api.values import Value, read_value
from rrdbg.model.hits.stop import StopReason
from tests.cli.test_record import wait_until
from tests.guests.build import QEMU_OPTIONS, symbol
from tests.oracle import Oracle
from tests.processes import children, qemus_in


def test_moving_is_what_the_oracle_says(work: rrdbg.Replay, busy: Oracle) -> None:
    middle = len(busy) // 2
    stop = work.seek(busy[middle].position)
    assert (stop.position, stop.pc) == (work.position, busy[middle].pc) == (busy[middle].position, busy[middle].pc)
    work.step(20)
    assert work.position == busy[middle + 20].position
    assert work.registers() == busy.registers(middle + 20)
    work.reverse_step(45)
    assert work.position == busy[middle - 25].position
    assert work.disassemble()[0][0] == busy[middle - 25].pc


def test_single_steps_both_ways(work: rrdbg.Replay, busy: Oracle, watched: dict[int, int]) -> None:
    """They are answered from what one pass has noted, memory included where it was looked at before."""
    here = next(i for i, entry in enumerate(busy.entries) if entry.position.phase) + 20
    work.seek(busy[here].position)
    for back in (True,) * 50 + (False,) * 60:
        here += -1 if back else 1
        stop = work.reverse_step() if back else work.step()
        assert (stop.reason, stop.position, stop.pc) == (StopReason.STEP, busy[here].position, busy[here].pc)
        assert work.registers() == busy.registers(here)
        for address, size in watched.items():
            assert work.read_memory(address, size) == busy[here].memory[address]
    work.seek("start")
    assert work.reverse_step().reason is StopReason.START
    work.seek("end")
    assert work.step().reason is StopReason.END


def test_watching_and_breaking(work: rrdbg.Replay, busy: Oracle, workload_guest: Path) -> None:
    counter = symbol(workload_guest, "counter").address
    changes = busy.changes(counter)
    work.seek(busy[len(busy) - 1].position)
    point = work.watch("counter")
    stop = work.reverse_continue()
    assert (stop.reason, stop.position) == (StopReason.WATCHPOINT, busy[changes[-1]].position)
    assert int.from_bytes(work.read_memory(counter, 8), "little") == work.eval("counter")
    work.delete(point)
    (hit,) = work.break_at("mix")
    calls = busy.hits(hit.address)
    stop = work.reverse_continue()
    assert stop.position == busy[[at for at in calls if at < changes[-1]][-1]].position
    work.delete()
    assert work.cont().reason is StopReason.END


def test_the_shells_verbs(work: rrdbg.Replay, busy: Oracle, workload_guest: Path) -> None:
    counter = symbol(workload_guest, "counter").address
    changes = busy.changes(counter)
    here = busy[len(busy) - 1].position
    change = work.last("counter", at=here)
    assert change.position == work.position == busy[changes[-1]].position
    before, after = (int.from_bytes(busy[changes[-1] + more].memory[counter], "little") for more in (0, 1))
    assert (change.before, change.after) == (before, after)
    assert work.last(counter, 8).position == busy[changes[-2]].position
    assert work.eval("counter", at=here) == int.from_bytes(busy[len(busy) - 1].memory[counter], "little")
    assert work.position == busy[changes[-2]].position
    found = work.bisect(f"counter >= {after}", busy[0].position, here)
    assert found.position == work.position == busy[changes[-1]].position
    assert (found.before, found.after) == (0, 1), "numbers, as of all values"
    first = work.first("counter")
    assert first.before == 0
    assert work.position == first.position < busy[0].position
    with pytest.raises(OutOfRange):
        work.last("counter", at=first.position)
    assert work.position == first.position, "who is refused stays where he is"
    twists = busy.hits(symbol(workload_guest, "twist").address)
    odd = [at for at in twists if at and busy.registers(at)["rdi"] & 1]
    work.seek(here)
    assert work.reverse_continue(to=symbol(workload_guest, "twist").address, where="$rdi & 1").position == (
        busy[odd[-1]].position
    )
    work.bookmark("odd", "the last odd one")
    work.seek(busy[0].position)
    assert work.cont(to=symbol(workload_guest, "twist").address, where="$rdi & 1").position == busy[odd[0]].position
    assert work.seek("@odd").position == work.bookmarks["odd"].position == busy[odd[-1]].position


def test_what_is_a_position(work: rrdbg.Replay) -> None:
    assert work.seek(1e6).position == rrdbg.Position(1_000_000)
    wrong: list[object] = [None, 1.5, True, [3], b"3"]
    for place in wrong:
        with pytest.raises(UsageError, match="is no position"):
            work.seek(place)  # type: ignore[arg-type]


def test_python_s_own_open_stays() -> None:
    assert "open" not in rrdbg.__all__
    assert "open" in dir(rrdbg)


def test_streams_give_what_is_in_the_stretch(work: rrdbg.Replay, busy: Oracle, workload_guest: Path) -> None:
    counter = symbol(workload_guest, "counter").address
    stretch = busy[0].position, busy[len(busy) - 1].position
    work.seek(stretch[0])
    writes = list(work.writes(counter, 8, *stretch))
    assert [hit.position for hit in writes] == [busy[at].position for at in busy.changes(counter)]
    assert [hit.position for hit in work.writes("counter", None, *stretch)] == [hit.position for hit in writes]
    twists = busy.hits(symbol(workload_guest, "twist").address)
    entry = symbol(workload_guest, "twist").address
    assert [hit.position for hit in work.hits(entry, None, *stretch)] == [busy[at].position for at in twists]
    odd = [busy[at].position for at in twists if busy.registers(at)["rdi"] & 1]
    assert [hit.position for hit in work.hits(entry, "$rdi & 1", *stretch)] == odd
    assert 0 < len(odd) < len(twists)
    assert work.position == stretch[0], "queries leave the cursor alone"


def test_the_cursor_moves_while_a_query_goes_on(work: rrdbg.Replay, busy: Oracle, workload_guest: Path) -> None:
    counter = symbol(workload_guest, "counter").address
    for hit in work.writes(counter, 8, busy[0].position):
        assert hit.change is not None
        work.seek(hit.position)
        assert work.read_memory(counter, 8) == hit.change.before
        work.step()
        assert work.read_memory(counter, 8) == hit.change.after
        break
    assert work.position == busy[busy.changes(counter)[0] + 1].position


def test_a_stream_that_is_left_early_leaves_no_qemu(work: rrdbg.Replay, tmp_path: Path) -> None:
    work.seek("10%")
    before = len(qemus_in(tmp_path))
    stream = work.hits("do_round")
    assert len(list(itertools.islice(stream, 3))) == 3
    assert len(qemus_in(tmp_path)) == before + 1
    stream.close()
    assert len(qemus_in(tmp_path)) == before
    for _ in work.hits("do_round"):
        break
    assert len(qemus_in(tmp_path)) == before


def test_closing_ends_everything(heapbug: Path) -> None:
    replay = rrdbg.open(heapbug)
    assert replay.eval("task_count") == 0
    stream = replay.hits("schedule")
    next(stream)
    assert children(os.getpid(), "gdb")
    replay.close()
    replay.close()
    assert not qemus_in(heapbug)
    assert not children(os.getpid(), "gdb")
    assert not [thread for thread in threading.enumerate() if thread.name == "rrdbg"]
    with pytest.raises(UsageError, match="closed"):
        replay.seek(0)


def test_events_and_console(work: rrdbg.Replay, workload: Path) -> None:
    lines = list(work.console())
    assert [line.text for line in lines][::13] == ["workload: up", "workload: done"]
    work.seek(lines[-1].position)
    assert work.run("info console")
    interrupts = list(work.events("interrupt", "50%", "75%"))
    assert interrupts
    assert all(event.kind == "interrupt" for event in interrupts)
    assert work.end.icount / 2 - 1 <= interrupts[0].position.icount <= interrupts[-1].position.icount


def test_what_gdb_knows(heap: rrdbg.Replay) -> None:
    heap.seek("end")
    assert heap.eval("tasks[3].magic == 0x5461736b4d616769") == 0
    assert heap.eval("rounds > 800 ? -1 : 1") == -1
    assert str(heap.eval("tasks[0]")).startswith("{magic = ")
    frame = heap.frame()
    assert frame is not None
    assert (frame.function, frame.file) == ("halt", "machine/machine.c")
    assert "panic_bad_magic" in heap.gdb("backtrace")
    assert heap.read_memory("&tasks[1]", 8) == b"igaMksaT"
    heap.seek("50%")
    assert heap.eval("rounds < 800") == 1, "GDB sees that the cursor has moved"


def test_calls(work: rrdbg.Replay, busy: Oracle, workload_guest: Path) -> None:
    start, end = busy[0].position, busy[len(busy) - 1].position
    found = list(work.calls("fold", start=start, end=end))
    entries = busy.hits(symbol(workload_guest, "fold").address)
    assert [call.position for call in found] == [busy[at].position for at in entries]
    assert [call.arguments["value"] for call in found] == [busy.registers(at)["rdi"] for at in entries]
    assert all(call.caller.startswith("mix+") for call in found)
    ended = next(call for call in found if call.end)
    assert ended.end is not None
    assert ended.returned == busy.registers(busy.index(ended.end))["rax"]
    bare = work.calls("fold", args=False, start=start, end=end)
    assert [dict(call.arguments) for call in bare] == [{}] * len(entries)


def test_errors_are_sentences(heap: rrdbg.Replay) -> None:
    with pytest.raises(OutOfRange):
        heap.seek(heap.end.icount + 1)
    with pytest.raises(UsageError, match="not a number"):
        heap.seek("nowhere")
    with pytest.raises(RspError):
        heap.read_memory(0x7FFF_FFFF_0000, 8)
    with pytest.raises(GdbError, match="nonsense"):
        heap.eval("nonsense")
    with pytest.raises(UsageError, match="Give a size"):
        heap.watch(0x1000)
    with pytest.raises(UsageError, match="is empty"):
        next(heap.writes("tasks[3].magic", None, "end", "start"))


def test_a_callback_must_not_wait_for_itself(heap: rrdbg.Replay) -> None:
    refused = []

    def listen(progress: Progress) -> None:
        try:
            heap.registers()
        except UsageError as error:
            refused.append(str(error))

    heap.on_progress = listen
    heap.seek("end")
    assert refused
    assert set(refused) == {"A replay cannot be used from inside one of its own callbacks."}


async def test_the_asynchronous_one(heapbug: Path) -> None:
    async with await rrdbg.AsyncReplay.open(heapbug) as replay:
        await replay.seek("end")
        assert await replay.eval("task_count") == 6
        hits = [hit async for hit in replay.writes("tasks[3].magic")]
        assert [hit.change.after[:1] for hit in hits if hit.change] == [b"i", b"\0"]
    assert not qemus_in(heapbug)


async def test_the_synchronous_one_where_a_loop_runs(heapbug: Path) -> None:
    with rrdbg.open(heapbug, gdb=None) as replay:
        assert replay.seek("50%").position == replay.position
        with pytest.raises(UsageError, match="opened without one"):
            replay.eval("rounds")


def test_recording(workload_guest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RRDBG_DIR", str(tmp_path))
    printed = bytearray()
    recorded = rrdbg.record(
        ["qemu-system-x86_64", *QEMU_OPTIONS, "-display", "none", "-serial", "stdio", "-kernel", str(workload_guest)],
        until_console="counter=200",
        on_console=printed.extend,
    )
    assert recorded.ended == "the console printed 'counter=200'"
    assert printed.startswith(b"workload: up")
    with rrdbg.open() as replay:
        assert replay.end.icount == recorded.end


def run_script(text: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_ctrl_c_stops_at_a_defined_position(heapbug: Path) -> None:
    process = run_script(
        """
        import sys, rrdbg
        with rrdbg.open(sys.argv[1]) as replay:
            try:
                print("going", flush=True)
                for hit in replay.hits("run_adder"):
                    pass
            except rrdbg.Interrupted as error:
                print(error, replay.position, replay.eval("rounds"))
        """,
        str(heapbug),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "going\n"
    wait_until(lambda: len(qemus_in(heapbug)) == 2)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert (out, error) == ("Interrupted at 0. 0 0\n", "")
    assert not qemus_in(heapbug)


def test_forgetting_to_close_ends_in_order(heapbug: Path) -> None:
    process = run_script(
        """
        import sys, rrdbg
        replay = rrdbg.open(sys.argv[1])
        stream = replay.hits("schedule")
        print(next(stream).position > replay.position, replay.eval("rounds"))
        """,
        str(heapbug),
    )
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error) == (0, "True 0\n", "")
    assert not qemus_in(heapbug)


def test_importing_is_cheap() -> None:
    process = run_script(
        """
        import sys, rrdbg, rrdbg.model.timeline.position
        print(sorted({"asyncio", "qemu", "pygdbmi", "prompt_toolkit"} & set(sys.modules)), rrdbg.Position is
              rrdbg.model.timeline.position.Position, set(rrdbg.__all__) <= set(dir(rrdbg)))
        """
    )
    assert process.communicate(timeout=60) == ("[] True True\n", "")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rrdbg.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("-12", -12), ("18446744073709551615", (1 << 64) - 1), ("0 '\\000'", 0), ("39 '''", 39),
        ("0x10 <x>", 16), ('0x10 "text"', 16), ("(char *) 0x10", 16), ("@0x10", 16), ("true", True), ("1.5", 1.5),
        ("1e+20", 1e20), ("RUNNING", "RUNNING"), ("{1, 2}", "{1, 2}"), ('"abc"', '"abc"'), ("1.5.2", "1.5.2"),
        ("{void (void)} 0x1000 <f>", "{void (void)} 0x1000 <f>"),
    ],
)  # fmt: skip
def test_values(text: str, value: Value) -> None:
    assert read_value(text) == value


def test_signatures_and_docs_are_those_of_the_asynchronous_one() -> None:
    methods: list[Callable[..., object]] = [rrdbg.Replay.seek, rrdbg.Replay.writes, rrdbg.Replay.eval]
    assert all(
        method.__doc__ and method.__doc__ == getattr(rrdbg.AsyncReplay, method.__name__).__doc__ for method in methods
    )
