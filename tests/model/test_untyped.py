"""Symbols without debug information are replaced by their addresses where GDB would compile them wrong."""

from __future__ import annotations

import pytest

from rrdbg.model.program.untyped import Untyped, is_untyped, names_in, with_addresses

KNOWN = {"data": Untyped(0x1000, code=False), "code": Untyped(0x2000, code=True)}
DATA, CODE = "((unsigned char *) 0x1000)", "((unsigned char *) 0x2000)"


@pytest.mark.parametrize(
    ("written", "compiled"),
    [
        ("*(long *) &data", f"*(long *) {DATA}"),
        ("*(long *)&code > 5", f"*(long *){CODE} > 5"),
        ("(long)data", "(long)data"),
        ("(long)code", f"(long){CODE}"),
        ("$rip == code", f"$rip == {CODE}"),
        ("a.code + b->code + $code + mycode", "a.code + b->code + $code + mycode"),
        ('$_streq(*(char **) & data, "&data \\" code")', f'$_streq(*(char **) {DATA}, "&data \\" code")'),
        ("x == '&' && other", "x == '&' && other"),
    ],
)
def test_addresses_are_written_for_names(written: str, compiled: str) -> None:
    assert with_addresses(written, KNOWN) == compiled


def test_names() -> None:
    assert list(names_in('*(long *) &a.b + c->d + $e + 0x10f + "f" + a')) == ["long", "a", "c"]


def test_types_that_gdb_does_not_know() -> None:
    found = is_untyped("type = <text variable, no debug info>\n")
    assert found is not None
    assert found["kind"] == "text"
    assert is_untyped("type = <data variable, no debug info> *") is not None
    assert is_untyped("type = long") is None
