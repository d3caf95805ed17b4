"""Tests of memory as they are written, without any QEMU."""

from __future__ import annotations

import pytest

from rrdbg.errors import UsageError
from rrdbg.model.hits.bisection import Judgement, Verdict
from rrdbg.model.hits.predicate import ByteOrder, MemoryTest
from rrdbg.model.program.agent import NeedMemory


def judged(text: str, found: bytes, order: ByteOrder = "little") -> Judgement:
    question = MemoryTest.read(text).at(0x1000).ask(order)
    assert next(question) == NeedMemory(0x1000, len(found))
    try:
        question.send(found)
    except StopIteration as result:
        judgement: Judgement = result.value
        return judgement
    raise AssertionError("it has asked for more")


@pytest.mark.parametrize(
    ("text", "found", "order", "holds"),
    [
        ("x:2==0102", b"\1\2", "little", True),
        ("x:2 == 01 02", b"\1\2", "big", True),
        ("x:2==0x0102", b"\2\1", "little", True),
        ("x:2==0x0102", b"\1\2", "big", True),
        ("x:2==0x0102", b"\1\2", "little", False),
        ("x:4==0x7", b"\7\0\0\0", "little", True),
        ("x:1!=ff", b"\xff", "little", False),
        ("x:1!=FF", b"\xfe", "little", True),
    ],
)
def test_tests_of_memory(text: str, found: bytes, order: ByteOrder, holds: bool) -> None:
    assert judged(text, found, order) == Judgement(Verdict.BAD if holds else Verdict.GOOD, found.hex())


def test_a_place_may_be_an_expression() -> None:
    assert MemoryTest.read("&tasks[a == 1 ? 2 : 3]:8==0x1").place == "&tasks[a == 1 ? 2 : 3]"


@pytest.mark.parametrize(
    "text", ["", "x", "x:2", "x:2=01", "x==01", "x:0==", "x:2==01", "x:2==0x10203", "x:1==0g", "x:9999==0x1"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError):
        MemoryTest.read(text)
