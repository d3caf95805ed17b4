"""What the queries list, held against the forward run."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from rrdbg.model.results import Changed, Found, Result
from rrdbg.model.timeline.line import QUERY_HITS
from rrdbg.model.timeline.position import START, Position
from tests.guests.build import symbol
from tests.oracle import Oracle
from tests.recordings import fresh_copy
from tests.shell.conftest import Opened, User


def value(raw: bytes) -> int:
    return int.from_bytes(raw, "little")


def stretch(oracle: Oracle) -> str:
    return f"from {oracle[0].position} to {oracle[len(oracle) - 1].position}"


async def found(user: User, line: str) -> list[Found]:
    before = user.position
    results = [result for result in await user.results(line) if isinstance(result, Found)]
    assert user.position == before, "a query leaves the cursor where it is"
    assert [result.number for result in results] == list(range(1, len(results) + 1))
    return results


async def test_writes(opened: Opened, workload: Path, workload_guest: Path, busy: Oracle) -> None:
    counter = symbol(workload_guest, "counter").address
    async with opened(workload) as user:
        results = await found(user, f"writes counter {stretch(busy)}")
        changes = busy.changes(counter)
        assert [result.position for result in results] == [busy[index].position for index in changes]
        for result, index in zip(results, changes, strict=True):
            assert int(result.fields["old"], 16) == value(busy[index].memory[counter])
            assert int(result.fields["new"], 16) == value(busy[index + 1].memory[counter])
            assert result.fields["next"].startswith("do_round+")
        await user(f"seek @{len(results)}")
        assert user.position == results[-1].position
        marks = user.shell.replay.timeline.marks[QUERY_HITS]
        assert [mark.position for mark in marks] == [result.position for result in results]
        assert "no bookmark" in await user.refused(f"seek @{len(results) + 1}")


async def test_writes_under_a_condition(opened: Opened, workload: Path, workload_guest: Path, busy: Oracle) -> None:
    counter = symbol(workload_guest, "counter").address
    wanted = [index for index in busy.changes(counter) if value(busy[index + 1].memory[counter]) % 3 == 1]
    async with opened(workload) as user:
        results = await found(user, f"writes counter if counter % 3 == 1 {stretch(busy)}")
        assert [result.position for result in results] == [busy[index].position for index in wanted]
        await user(f"seek {busy[len(busy) - 1].position}")
        await user("last counter if counter % 3 == 1")
        assert user.position == busy[wanted[-1]].position
        assert "wrong" in await user.refused("writes counter if nothing_of_that_name")


async def test_writes_by_an_interrupt(opened: Opened, workload: Path, busy: Oracle) -> None:
    """The stack slot that an interrupt pushes to, which breaks a replay that watches it carelessly."""
    delivered = next(index for index in range(len(busy) - 1) if busy[index + 1].position.phase == 1)
    slot = busy.registers(delivered + 1)["rsp"]
    async with opened(workload) as user:
        results = await found(user, f"writes *{slot:#x}:8 {stretch(busy)}")
        assert busy[delivered].position in [result.position for result in results]
        # Each is where stepping sees the value change.
        for result in results:
            await user(f"seek @{result.number}")
            assert await memory(user, slot) == result.fields["old"]
            await user("stepi")
            assert await memory(user, slot) == result.fields["new"]


async def memory(user: User, address: int) -> str:
    return (await user(f"x/xg {address:#x}")).split()[-1]


async def test_reads(opened: Opened, workload: Path, busy: Oracle) -> None:
    async with opened(workload) as user:
        results = await found(user, f"reads ring[3] {stretch(busy)}")
        await user(f"seek {busy[0].position}")
        await user("rwatch ring[3]")
        for result in results:
            await user("continue")
            assert user.position.icount == result.position.icount + 1


async def test_calls(opened: Opened, workload: Path, workload_guest: Path, busy: Oracle) -> None:
    twist, fold = (symbol(workload_guest, name).address for name in ("twist", "fold"))
    async with opened(workload) as user:
        results = await found(user, f"calls twist {stretch(busy)}")
        entries = busy.hits(twist)
        assert [result.position for result in results] == [busy[index].position for index in entries]
        assert len(results) > 50
        for result, index in zip(results, entries, strict=True):
            registers = busy.registers(index)
            assert result.fields["caller"].startswith("fold+")
            assert int(result.fields["value"]) == registers["rdi"]
            back = next(
                (
                    later
                    for later in range(index + 1, len(busy) - 1)
                    if busy.registers(later)["rsp"] == registers["rsp"] + 8 and fold <= busy[later].pc < fold + 200
                ),
                None,
            )
            if back is None:
                assert result.fields["returned"] == ""
            else:
                assert int(result.fields["returned"]) == busy.registers(back)["rax"]
        by_address = await found(user, f"calls *{twist:#x} {stretch(busy)}")
        # Of what is only an address no type is known.
        assert [int(result.fields["returned"] or "0", 16) for result in by_address] == [
            int(result.fields["returned"] or "0") for result in results
        ]
        assert "no symbol" in (await user.refused("calls no_such_function")).lower()


async def test_bisect(opened: Opened, workload: Path, workload_guest: Path, busy: Oracle) -> None:
    counter = symbol(workload_guest, "counter").address
    middle = busy.changes(counter)[-1]
    bound = value(busy[middle].memory[counter])
    async with opened(workload) as user:
        shown = await user(f"bisect counter > {bound} && ring[0] != 1 {stretch(busy)}")
        assert user.position == busy[middle].position
        assert f"At {busy[middle + 1].position} counter > {bound} && ring[0] != 1 holds for the first time" in shown
        assert "Old value = 0\n  New value = 1" in shown
        await user("end")
        assert "holds already" in await user.refused(f"bisect counter > 3 {stretch(busy)}")
        assert "does not hold" in await user.refused(f"bisect counter > 99999 {stretch(busy)}")
        assert user.position == user.shell.replay.timeline.end, "back where it was"
        await user(f"seek {busy[busy.hits(symbol(workload_guest, 'fold').address)[0]].position}")
        assert "needs a local variable" in await user.refused("bisect value == 3")


async def test_what_is_known_is_told(opened: Opened, workload: Path, workload_guest: Path, tmp_path: Path) -> None:
    counter = symbol(workload_guest, "counter").address
    async with opened(fresh_copy(workload, tmp_path / "fresh")) as user:
        assert await user("info hits") == "Nothing was looked for yet."
        results = await found(user, "writes counter")
        row = f"watch *{counter:#x}:8 +{len(results):,} +100.0%"
        assert re.search(row.replace("*", r"\*"), await user("info hits"))


async def test_prints_under_a_condition(opened: Opened, workload: Path, busy: Oracle) -> None:
    async with opened(workload) as user:
        every = await found(user, f'tprintf twist,"%ld",value {stretch(busy)}')
        values = [result.fields["text"] for result in every]
        odd = await found(user, f'tprintf twist if value & 1,"%ld",value {stretch(busy)}')
        assert 0 < len(odd) < len(every)
        assert [result.fields["text"] for result in odd] == [value for value in values if int(value) % 2]
        assert await found(user, f'tprintf twist if *(char *) 0xdeadbeef0000,"x" {stretch(busy)}') == []


async def test_origin(opened: Opened, heapbug: Path, heapbug_guest: Path, tmp_path: Path) -> None:
    log_append = symbol(heapbug_guest, "log_append")
    async with opened(heapbug) as user:
        (hop,) = await found(user, "origin tasks[3].magic")
        assert (hop.fields["end"], hop.fields["from"]) == ("a constant", "")
        assert hop.fields["where"].startswith("log_append at heapbug.c:")
        await user("last tasks[3].magic")
        assert user.position == hop.position
        assert log_append.address <= await user.shell.replay.pc() < log_append.address + log_append.size
        # A variable that lives in a register: the parameter of the function where the cursor is.
        (hop,) = await found(user, "origin task")
        assert (hop.fields["place"], hop.fields["end"]) == ("$rdi", "computed")
        assert hop.fields["where"].startswith("schedule at ")
        await user("end")
        assert "go on with: origin $rdi" in await user("origin $rax --depth 1")
        await user(f"> {tmp_path / 'hops.csv'} origin $rdi --depth 1")
        assert "instruction" in (tmp_path / "hops.csv").read_text().splitlines()[0]
        assert "number of hops" in await user.refused("origin $rdi --depth none")
        assert "no register $bogus" in await user.refused("origin $bogus")


async def test_first(opened: Opened, workload: Path, workload_guest: Path) -> None:
    async with opened(workload) as user:
        (changed,) = await user.results("first counter")
        assert isinstance(changed, Changed)
        assert (changed.before, changed.after) == ("0", "1")
        assert user.position > START
        place = user.position
        await user("stepi")
        await user("last counter")
        assert user.position == place
        assert "Nothing ever changes" in await user.refused("first *0xdeadbeef0000:8")


async def test_what_is_found_can_be_kept(opened: Opened, workload: Path, busy: Oracle, tmp_path: Path) -> None:
    async with opened(workload) as user:
        table, lines = tmp_path / "writes.csv", tmp_path / "writes.json"
        await user(f"> {table} writes counter {stretch(busy)}")
        results = await found(user, f"writes counter {stretch(busy)}")
        rows = list(csv.DictReader(table.read_text().splitlines()))
        assert [(int(row["icount"]), row["old"]) for row in rows] == [
            (result.position.icount, result.fields["old"]) for result in results
        ]
        await user(f"> {lines} writes counter {stretch(busy)}")
        loaded = [json.loads(line) for line in lines.read_text().splitlines()]
        assert [item["kind"] for item in loaded] == ["found"] * len(results) + ["message"]


@pytest.mark.parametrize("line", ['tprintf twist,"%d",$rdi', "writes counter", "reads counter", "calls twist"])
async def test_an_interrupted_list_is_kept_and_tells_how_to_go_on(
    opened: Opened, workload: Path, busy: Oracle, line: str
) -> None:
    end = busy[len(busy) - 1].position
    wide = f"from {busy[0].position.icount - 6000 * line.endswith('counter')} to {end}"
    async with opened(workload) as user:
        first: list[Position] = []
        show = user.noted.show

        def interrupting(result: Result) -> None:
            show(result)
            if isinstance(result, Found):
                first.append(result.position)
                if len(first) == 2:
                    user.shell.runner.interrupt()

        user.noted.show = interrupting  # type: ignore[method-assign]
        said = await user.refused(f"{line} {wide}")
        user.noted.show = show  # type: ignore[method-assign]
        place = re.search(r"searched up to (\S+); go on with 'from (\S+)'\.", said)
        assert place is not None, said
        assert place[1] == place[2]
        await user("seek @2")
        assert user.position == first[1]
        rest = [result.position for result in await found(user, f"{line} from {place[1]} to {end}")]
        whole = [result.position for result in await found(user, f"{line} {wide}")]
        assert first == whole[: len(first)]
        assert 2 <= len(first) < len(whole)
        told = first if not line.startswith("calls") else [known for known in first if known < rest[0]]
        assert told + rest == whole


async def test_count_and_nth(opened: Opened, workload: Path, workload_guest: Path, busy: Oracle) -> None:
    hits = busy.hits(symbol(workload_guest, "twist").address)
    async with opened(workload) as user:
        assert f"twist is executed {len(hits)} times between" in await user(f"count twist {stretch(busy)}")
        await user(f"nth {len(hits)} twist {stretch(busy)}")
        assert user.position == busy[hits[-1]].position
        refused = await user.refused(f"nth {len(hits) + 1} twist {stretch(busy)}")
        assert f"twist is executed only {len(hits)} times between" in refused
        assert user.position == busy[hits[-1]].position
        assert "executed 153,600 times between" in (whole := await user("count twist"))
        assert whole.endswith(", counted by the accelerator.")
        assert "It has made 1 pass in this session." in await user("info accelerator")


async def test_count_and_nth_under_a_condition(
    opened: Opened, workload: Path, workload_guest: Path, busy: Oracle
) -> None:
    hits = busy.hits(symbol(workload_guest, "twist").address)
    cr3 = busy.registers(hits[0])["cr3"]
    odd = [index for index in hits if busy.registers(index)["rdi"] & 1]
    async with opened(workload) as user:
        said = await user(f"count twist if ($rdi & 1) && $cr3 == {cr3} {stretch(busy)}")
        assert f"is executed {len(odd)} times between" in said
        assert "is executed 0 times" in await user(f"count twist if $cr3 != {cr3} {stretch(busy)}")
        await user(f"nth {len(odd)} twist if $rdi & 1 {stretch(busy)}")
        assert user.position == busy[odd[-1]].position
        assert "is executed only" in await user.refused(f"nth {len(odd) + 1} twist if $rdi & 1 {stretch(busy)}")
        # What cannot be told does not count.
        assert "is executed 0 times" in await user(f"count twist if *(long *)0xdeadbeef0000 {stretch(busy)}")


async def test_count_and_nth_refuse(opened: Opened, workload: Path) -> None:
    async with opened(workload, gdb=False) as user:
        assert "What to look for is missing" in await user.refused("count")
        assert "'nth' takes a number and a location" in await user.refused("nth 3")
        assert "The first time has the number 1" in await user.refused("nth 0 *0x1000")
        assert "Without a GDB there are no symbols" in await user.refused("nth 1 twist")
