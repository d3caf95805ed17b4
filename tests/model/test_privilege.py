"""The level at which code runs, by the registers of each architecture (their manuals' encodings)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from rrdbg.model.program.privilege import privilege


@pytest.mark.parametrize(
    ("registers", "level"),
    [
        ({"cs": 0x08, "cr0": 0x80000011}, "ring 0"),
        ({"cs": 0x33, "cr0": 0x80000011}, "ring 3"),
        ({"cs": 0xF000, "cr0": 0x60000010}, "real mode"),
        ({"cs": 0x2B}, "ring 3"),
        ({"x30": 0, "cpsr": 0x400003C5}, "EL1"),
        ({"x30": 0, "cpsr": 0x3C0}, "EL0"),
        ({"x30": 0, "cpsr": 0x3CD}, "EL3"),
        ({"x30": 0, "cpsr": 0x10}, "user"),
        ({"lr": 0, "cpsr": 0x600001D3}, "supervisor"),
        ({"lr": 0, "cpsr": 0x192}, "IRQ"),
        ({"lr": 0, "xpsr": 0x01000000}, "thread"),
        ({"lr": 0, "xpsr": 0x0100000F}, "handler"),
        ({"ra": 0, "priv": 3}, "machine"),
        ({"ra": 0, "priv": 1}, "supervisor"),
        ({"ra": 0, "priv": 0}, "user"),
        ({"r1": 0, "msr": 0x4000}, "problem state"),
        ({"r1": 0, "msr": 0}, "supervisor"),
        ({"pc": 0}, ""),
    ],
    ids=str,
)
def test_the_level(registers: Mapping[str, int], level: str) -> None:
    assert privilege(registers) == level
