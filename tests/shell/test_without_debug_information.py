"""A program without debug information: what rrdbg evaluates is what GDB prints, whatever GDB takes a symbol for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from rrdbg.model.results import Changed
from tests.cli.conftest import Cli
from tests.guests.build import symbol
from tests.shell.conftest import Opened

VALUE = "*(long *) &rounds"


@pytest.fixture(params=["data", "code"])
def bare(request: pytest.FixtureRequest, heapbug_guest: Path, tmp_path: Path) -> Path:
    """heapbug's ELF file, with symbols that have no types; GDB takes its variables for data, or for code."""
    elf = tmp_path / "bare.elf"
    subprocess.run(["strip", "-g", "-o", elf, heapbug_guest], check=True)
    if request.param == "code":
        # So is an ELF file of /proc/kallsyms.
        flags = ("--set-section-flags", ".bss=alloc,code")
        subprocess.run(["objcopy", *flags, elf], check=True, stderr=subprocess.DEVNULL)
    return elf


async def test_what_is_printed_is_what_gdb_prints(
    opened: Opened, heapbug: Path, bare: Path, heapbug_guest: Path
) -> None:
    async with opened(heapbug) as user:
        await user(f"file {bare}")
        printed = await user(f"print {VALUE}")
        rounds = int(printed.split("= ")[1])
        assert rounds > 3
        (changed,) = await user.results(f"last {VALUE}")
        assert isinstance(changed, Changed)
        assert (int(changed.before), int(changed.after)) == (rounds - 1, rounds)
        assert changed.stopped.stop.position < user.shell.replay.timeline.end
        last = user.position
        await user("seek end")
        function = symbol(heapbug_guest, "schedule").address
        listed = await user(f'tprintf *{function:#x},"%ld %d",{VALUE},*(int *) ((char *) &rounds + 4)')
        seen = [int(value) for value in re.findall(r"  (\d+) 0$", listed, re.MULTILINE)]
        assert seen == sorted(seen)
        assert seen[-1] in (rounds - 1, rounds)
        assert len(set(seen)) > 2
        await user(f"break *{function:#x} if {VALUE} == {rounds - 2}")
        await user("rc")
        assert f"= {rounds - 2}" in await user(f"print {VALUE}")
        assert user.position < last


async def test_a_symbol_of_unknown_length_is_not_watched(opened: Opened, heapbug: Path, bare: Path) -> None:
    async with opened(heapbug) as user:
        await user(f"file {bare}")
        for line in ("last rounds", "first rounds", "writes rounds"):
            assert "'rounds' has unknown type; cast it to its declared type" in await user.refused(line)


@pytest.mark.parametrize("bare", ["code"], indirect=True)
def test_a_bisect_judges_what_gdb_prints(bare: Path, heapbug: Path, tmp_path: Path) -> None:
    def found(expression: str, *words: str) -> str:
        done = Cli(tmp_path / "library")("bisect", str(heapbug), "-q", "--expr", f"{expression} > 5", *words)
        match = re.search(r"--at (\d+)", done.stdout)
        assert match is not None
        return match[1]

    assert found(VALUE, "--symbols", str(bare)) == found("rounds")
