"""A function with where its arguments are, as text and back."""

from __future__ import annotations

import pytest

from rrdbg.errors import UsageError
from rrdbg.model.program.agent import Expression
from rrdbg.model.program.function import Function
from rrdbg.model.program.tracing import Parameter, Tracepoint

CODE = Expression(bytes.fromhex("2600002716"))
OTHER = Expression(bytes.fromhex("220127"))


def test_text_and_back() -> None:
    parameters = (Parameter("task", "%#lx"), Parameter("size", "%lu"))
    points = (Tracepoint(0x1010, (CODE, OTHER)), Tracepoint(0x1050, (OTHER, CODE)))
    function = Function(0x1000, parameters, points)
    assert str(function) == "*0x1000(task:%#lx,size:%lu;*0x1010,2600002716,220127;*0x1050,220127,2600002716)"
    assert Function.read(str(function)) == function


@pytest.mark.parametrize("result", ["void", "%d", "%p"])
def test_how_a_result_is_shown_goes_with_it(result: str) -> None:
    bare = Function(0x1000, result=result)
    assert str(bare) == f"*0x1000={result}"
    assert Function.read(str(bare)) == bare
    whole = Function(0x1000, (Parameter("size", "%lu"),), (Tracepoint(0x1010, (CODE,)),), result)
    assert Function.read(str(whole)) == whole


@pytest.mark.parametrize("text", ["*0x1000", "*$rip", "log_append", "*(0x1000)", "*0x1000()"])
def test_what_is_only_an_address_or_a_name(text: str) -> None:
    assert Function.read(text) is None


def test_without_parameters_it_is_its_address() -> None:
    assert str(Function(0x1000)) == "*0x1000"


@pytest.mark.parametrize("text", ["*0x1000(a:%d;*0x1010)", "*0x1000(a:%d,b:%d;*0x1010,27)", "*0x1000(a:%d;*0x1010,zz)"])
def test_damaged_ones_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Function.read(text)
