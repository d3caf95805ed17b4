"""Profiles, coverage and calls of a recording are what GDB and single-stepping show, and other programs read them."""

from __future__ import annotations

import io
import re
import shutil
import struct
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import gprof2dot
import pytest
from lcov_cobertura import LcovCobertura

from rrdbg.commands.program import line_table_of, program_of
from rrdbg.engine.queries.coverage import coverage
from rrdbg.engine.queries.profile import Sample, profile
from rrdbg.engine.queries.sampling import spacing
from rrdbg.engine.replay import Replay
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.links.program_file import ProgramFile
from rrdbg.model.linux.task import Mode, Running, Task
from rrdbg.model.program.code import Function
from rrdbg.model.program.coverage import Block, Covered, ProgramExtent, SourceLine
from rrdbg.model.results import Output, StackFrame, StackSample
from rrdbg.model.timeline.position import Position
from rrdbg.render.coverage import drcov, lcov
from rrdbg.render.ftrace import TracedCall, ftrace
from rrdbg.render.profile import collapsed, perf_script
from tests.oracle import Oracle

_WALK = (
    "python exec('f = gdb.newest_frame()\\nwhile f:\\n  "
    'if f.type() != gdb.INLINE_FRAME and f.function(): print(f"at {f.pc():x} {f.function()}")\\n  f = f.older()\')'
)
_FRAME = re.compile(r"^at ([0-9a-f]+) (\S+)$", re.MULTILINE)
_RECORD = struct.Struct("<IHH")


@pytest.fixture
async def replay(workload: Path, tmp_path: Path) -> AsyncIterator[Replay]:
    async with await Replay.open(shutil.copytree(workload, tmp_path / "workload")) as opened:
        yield opened


async def program(replay: Replay, elf: Path) -> ProgramFile:
    found = await program_of(replay, elf)
    assert found
    return found


async def samples(replay: Replay, elf: Path, every: int, oracle: Oracle) -> list[Sample]:
    frames = (await program(replay, elf)).frames
    start, end = oracle[0].position, oracle[len(oracle) - 1].position
    return [sample async for sample in profile(replay, every, start, end, frames)]


async def test_stacks_are_those_of_gdb(replay: Replay, workload_guest: Path, busy: Oracle) -> None:
    found = await samples(replay, workload_guest, 97, busy)
    plain = busy.timeline.deliveries
    places = [
        icount for icount in range(busy[0].position.icount, busy[len(busy) - 1].position.icount) if not icount % 97
    ]
    assert [sample.position.icount for sample in found] == [
        icount if plain.is_plain(icount) else plain.plain_after(icount) for icount in places
    ]
    assert all(sample.stack[0] == busy[busy.index(sample.position)].pc for sample in found)
    deep = 0
    async with Debugger.on(replay, "gdb", workload_guest) as debugger:
        for sample in found[::4]:
            await replay.seek(sample.position)
            (shown,) = await debugger.run(_WALK)
            assert isinstance(shown, Output)
            frames = [int(address, 16) for address, _ in _FRAME.findall(shown.text)]
            # GDB knows the functions of C alone; rrdbg ends in the assembly that has called main.
            assert list(sample.stack[: len(frames)]) == frames
            deep += len(frames) > 4
    assert deep


async def test_code_is_covered_that_single_stepping_executes(
    replay: Replay, workload_guest: Path, exceptional: Oracle
) -> None:
    start, end = exceptional[0].position, exceptional[len(exceptional) - 1].position
    blocks = await coverage(replay, start, end)
    first: dict[int, Position] = {}
    for index in exceptional.hits(*{entry.pc for entry in exceptional.entries}):
        first.setdefault(exceptional[index].pc, exceptional[index].position)
    covered = Covered(blocks)
    assert all(any(block.start <= pc < block.end for block in blocks) for pc in first)
    assert {block.start for block in blocks} <= set(first)
    for address, position in first.items():
        within = [block for block in blocks if block.start <= address < block.end]
        earliest = min(within, key=lambda block: block.position)
        slack = 0 if earliest.exact else 100
        assert 0 <= position.icount - earliest.position.icount <= earliest.size + slack
    functions = covered.functions((await program(replay, workload_guest)).functions.all)
    assert {"copy_block", "fill_block", "on_system_call", "on_invalid_opcode", "twist"} < {
        each.function.name for each in functions
    }
    assert "power_off" not in {each.function.name for each in functions}

    lines = covered.lines(await line_table_of(replay, workload_guest))
    text = (Path(__file__).parents[1] / "guests/workload/workload.c").read_text().splitlines()
    named = {line.line: position for line, position in lines.items() if line.file.endswith("workload.c")}
    ended = next(number for number, line in enumerate(text, 1) if "power_off();" in line)
    counted = next(number for number, line in enumerate(text, 1) if "system_calls++;" in line)
    assert named[ended] is None
    assert named[counted] is not None
    begun = [(each.function, where, True) for each in functions for where in lines if where.line == 1]
    read = LcovCobertura(lcov(lines, begun)).parse()
    assert read["summary"]["lines-total"] == len(lines)
    assert read["summary"]["lines-covered"] == sum(position is not None for position in lines.values())


def test_a_tracefile_is_read_by_another_program() -> None:
    fold, main = Function(0x1000, 8, "fold"), Function(0x2000, 8, "main")
    lines = {SourceLine("/src/a.c", 7): Position(5), SourceLine("/src/a.c", 9): None, SourceLine("/src/b.c", 1): None}
    where = [(fold, SourceLine("/src/a.c", 7), True), (main, SourceLine("/src/b.c", 1), False)]
    read = LcovCobertura(lcov(lines, where), base_dir="/").parse()
    classes = {name: found for each in read["packages"].values() for name, found in each["classes"].items()}
    (a,), (b,) = ([found for name, found in classes.items() if name.endswith(end)] for end in ("a.c", "b.c"))
    assert {int(number): int(line["hits"]) for number, line in a["lines"].items()} == {7: 1, 9: 0}
    assert {name: int(method[1]) for name, method in a["methods"].items()} == {"fold": 1}
    assert {name: int(method[1]) for name, method in b["methods"].items()} == {"main": 0}


def test_a_log_of_blocks_is_as_documented() -> None:
    """drcov's log, version 2: the table of modules in text, and behind it start, size and module of each block."""
    blocks = [Block(0x101010, 16, Position(9), True), Block(0xFFFF_FFFF_8100_0000, 70_000, Position(1), True)]
    blocks.append(Block(0x7FF0, 4, Position(3), True))
    head, _, entries = drcov(blocks, ProgramExtent("/guest.elf", 0x100000, 0x102000)).partition(b" bbs\n")
    text = head.decode().splitlines()
    assert text[:2] == ["DRCOV VERSION: 2", "DRCOV FLAVOR: drcov"]
    assert text[2] == "Module Table: version 2, count 3"
    assert text[3] == "Columns: id, base, end, entry, path"
    modules = {int(row[0]): (int(row[1], 16), row[4]) for row in (line.split(", ") for line in text[4:7])}
    assert text[7] == "BB Table: 4"
    found = [(modules[module][0] + start, size) for start, size, module in _RECORD.iter_unpack(entries)]
    assert found == [(0x7FF0, 4), (0x101010, 16), (0xFFFF_FFFF_8100_0000, 65_535), (0xFFFF_FFFF_8100_FFFF, 4_465)]
    assert sorted(path for _, path in modules.values()) == ["/guest.elf", "guest", "guest"]


def test_a_module_that_lies_on_both_sides_of_the_program_ends_behind_its_last_block() -> None:
    blocks = [Block(start, 16, Position(9), True) for start in (0x7FF0, 0x101010, 0x201000)]
    text = drcov(blocks, ProgramExtent("/guest.elf", 0x100000, 0x102000)).split(b"BB Table")[0].decode().splitlines()
    rows = [line.split(", ") for line in text[4:]]
    assert [(row[4], int(row[2], 16)) for row in rows] == [("guest", 0x201010), ("/guest.elf", 0x101020)]


def stacks() -> list[StackSample]:
    shown = (("spin", "main"), ("spin", "main"), ("a;b c\n", "main"), ("", "main"))
    return [
        StackSample(
            Position(1_000_000_000 * number + 250), 1000,
            tuple(StackFrame(0x1000 * level, name, level) for level, name in enumerate(names, 1)),
            Running(Task(7, 5, "a shell", 0), Mode.KERNEL) if number else None,
        )
        for number, names in enumerate(shown)
    ]  # fmt: skip


def test_stacks_are_read_by_another_program() -> None:
    perf = gprof2dot.PerfParser(io.StringIO("".join(map(perf_script, stacks())))).parse()
    counts: Counter[str] = Counter()
    for function in perf.functions.values():
        counts[function.name] += function[gprof2dot.SAMPLES]
    assert counts == {"spin": 2, "main": 0, "a_b_c_": 1, "1000": 1}
    calls = {
        (caller.name, perf.functions[callee].name) for caller in perf.functions.values() for callee in caller.calls
    }
    assert calls == {("main", "spin"), ("main", "a_b_c_"), ("main", "1000")}
    folded = gprof2dot.CollapseParser(io.StringIO(collapsed(stacks()))).parse()
    assert {function.name: function[gprof2dot.SAMPLES] for function in folded.functions.values()} == {
        "spin": 2000, "main": 0, "a_b_c_": 1000, "[unknown]": 1000, "guest": 0, "a_shell": 0
    }  # fmt: skip


def test_times_are_positions() -> None:
    first = [perf_script(sample).splitlines()[0] for sample in stacks()]
    assert first[0] == "guest 0/0 [000] 0.000000250: 1000 instructions:"
    assert first[2] == "a_shell 5/7 [000] 2.000000250: 1000 instructions:"


_MARK = re.compile(
    r"^ *(?P<comm>\S+)-(?P<pid>\d+) +\( *(?P<tgid>\d+)\) \[(?P<cpu>\d{3})\] (?P<flags>[.a-zA-Z0-9]{4,5}) "
    r"(?P<seconds>\d+)\.(?P<rest>\d{9}): tracing_mark_write: (?P<mark>B\|\d+\|\S+|E\|\d+)$"
)
"""A line of ftrace's text with a mark of user space's (Documentation/trace/ftrace.rst)."""


def test_calls_are_nested_marks() -> None:
    task = Task(7, 5, "sh", 0)
    calls = [
        TracedCall("inner|x", Position(20), Position(30), task), TracedCall("outer", Position(10), Position(30), task),
        TracedCall("never_back", Position(40), None), TracedCall("outer", Position(30), Position(35), task),
    ]  # fmt: skip
    lines = [line for line in ftrace(calls).splitlines() if not line.startswith("#")]
    found = [match for line in lines if (match := _MARK.match(line))]
    assert len(found) == len(lines)
    assert [(int(each["rest"]), each["mark"]) for each in found] == [
        (10, "B|5|outer"), (20, "B|5|inner_x"), (30, "E|5"), (30, "E|5"), (30, "B|5|outer"), (35, "E|5"),
        (40, "B|0|never_back"),
    ]  # fmt: skip


def test_samples_are_a_round_number_apart() -> None:
    assert [spacing(count) for count in (1, 4_000, 8_302_233, 1_480_000_000)] == [
        1, 5, 10_000, 2_000_000
    ]  # fmt: skip
