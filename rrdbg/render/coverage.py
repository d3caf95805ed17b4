"""What was executed in the forms that tools of coverage read: lcov's tracefile, and drcov for disassemblers.

lcov's (geninfo(1)) is read by genhtml and editors: how often a line was executed we do not count, so it is 0 or 1.
drcov's log, version 2, is read by Lighthouse, Binary Ninja, IDA and Ghidra: a text, and behind it eight bytes a block.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from rrdbg.model.program.code import Function
from rrdbg.model.program.coverage import Block, ProgramExtent, SourceLine
from rrdbg.model.timeline.position import Position

_BLOCK = struct.Struct("<IHH")
_LONGEST = (1 << 16) - 1
_FAR = 1 << 32


def lcov(lines: Mapping[SourceLine, Position | None], functions: Iterable[tuple[Function, SourceLine, bool]]) -> str:
    """A tracefile of ``lines``, None where one was not executed, and ``functions``: where they are, and whether so."""
    written = ["TN:"]
    by_file: dict[str, list[tuple[Function, int, bool]]] = {}
    for function, where, executed in functions:
        by_file.setdefault(where.file, []).append((function, where.line, executed))
    ordered = sorted(lines, key=lambda line: (line.file, line.line))
    for file, group in groupby(ordered, key=lambda line: line.file):
        inside, found = by_file.get(file, []), list(group)
        written.append(f"SF:{_line(file)}")
        written += (f"FN:{line},{_line(function.name)}" for function, line, _ in inside)
        written += (f"FNDA:{int(executed)},{_line(function.name)}" for function, _, executed in inside)
        written += (f"FNF:{len(inside)}", f"FNH:{sum(executed for _, _, executed in inside)}")
        written += (f"DA:{line.line},{int(lines[line] is not None)}" for line in found)
        written += (f"LF:{len(found)}", f"LH:{sum(lines[line] is not None for line in found)}", "end_of_record")
    return "\n".join([*written, ""])


def drcov(blocks: Sequence[Block], program: ProgramExtent | None = None) -> bytes:
    """A log of ``blocks``: those of ``program`` in a module of its name, and what else there is in others.

    Offsets are of 32 bits, so there is one for each 4 GiB.
    """
    modules: dict[tuple[str, int], int] = {}
    ends: dict[int, int] = {}
    entries = bytearray()
    for block in sorted(blocks, key=lambda block: block.start):
        own = program and program.start <= block.start < program.end
        name, base = (program.path, program.start) if program and own else ("guest", block.start // _FAR * _FAR)
        number = modules.setdefault((name, base), len(modules))
        ends[number] = max(block.end, ends.get(number, 0))
        for start in range(block.start, block.end, _LONGEST):
            entries += _BLOCK.pack(start - base, min(_LONGEST, block.end - start), number)
    rows = "".join(
        f"{number:3}, {base:#018x}, {ends[number]:#018x}, {0:#018x}, {_line(path)}\n"
        for (path, base), number in modules.items()
    )
    head = (
        f"DRCOV VERSION: 2\nDRCOV FLAVOR: drcov\nModule Table: version 2, count {len(modules)}\n"
        f"Columns: id, base, end, entry, path\n{rows}BB Table: {len(entries) // _BLOCK.size} bbs\n"
    )
    return head.encode() + bytes(entries)


def _line(text: str) -> str:
    """What stays in its line."""
    return "".join(each if each.isprintable() else "?" for each in text)
