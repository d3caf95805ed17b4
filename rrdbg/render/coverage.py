"""What was executed in the forms that tools of coverage read: lcov's tracefile, and drcov for disassemblers.

lcov's (geninfo(1)) is read by genhtml and editors: how often a line was executed we do not count, so it is 0 or 1.
drcov's log, version 2, is read by Lighthouse, Binary Ninja, IDA and Ghidra: a text, and behind it eight bytes a block.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from rrdbg.model.program.code import Function
from rrdbg.model.program.coverage import Block, SourceLine
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


def drcov(blocks: Sequence[Block], path: str) -> bytes:
    """A log of ``blocks``, all of them of one module: the program at ``path``, or the guest.

    Offsets are of 32 bits, so what lies 4 GiB and more apart is in modules of its own.
    """
    modules: list[tuple[int, int]] = []
    entries = bytearray()
    count = 0
    for block in sorted(blocks, key=lambda block: block.start):
        if not modules or block.end - modules[-1][0] > _FAR:
            modules.append((block.start & ~0xFFF, block.end))
        base = modules[-1][0]
        modules[-1] = (base, max(modules[-1][1], block.end))
        for start in range(block.start, block.end, _LONGEST):
            entries += _BLOCK.pack(start - base, min(_LONGEST, block.end - start), len(modules) - 1)
            count += 1
    rows = "".join(
        f"{number:3}, {base:#018x}, {end:#018x}, {0:#018x}, {_line(path)}\n"
        for number, (base, end) in enumerate(modules)
    )
    head = (
        f"DRCOV VERSION: 2\nDRCOV FLAVOR: drcov\nModule Table: version 2, count {len(modules)}\n"
        f"Columns: id, base, end, entry, path\n{rows}BB Table: {count} bbs\n"
    )
    return head.encode() + bytes(entries)


def _line(text: str) -> str:
    """What stays in its line."""
    return "".join(each if each.isprintable() else "?" for each in text)
