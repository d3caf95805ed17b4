"""GDB's functions of strings and memory as expressions that it compiles."""

from __future__ import annotations

import pytest

from rrdbg.errors import UsageError
from rrdbg.model.program.gdb_functions import MOST_BYTES, compilable, for_gdb_alone, price_of


def test_compares_strings_byte_by_byte() -> None:
    wanted = (
        "((unsigned char)(s->name)[0] == 97 && (unsigned char)(s->name)[1] == 10 && (unsigned char)(s->name)[2] == 0)"
    )
    assert compilable('$_streq(s->name, "a\\n")') == wanted
    assert compilable('$_streq("a\\n",s->name)') == wanted
    assert compilable('n > 1 && !$_streq ( s->name , "a\\012" ) || m') == f"n > 1 && !{wanted} || m"


def test_takes_brackets_commas_and_quotes_in_arguments() -> None:
    found = compilable('$_streq(f(a, ")")[2], "\\"x")')
    assert found.startswith('((unsigned char)(f(a, ")")[2])[0] == 34 && ')
    assert found.count("==") == 3


def test_several_and_nested() -> None:
    assert compilable('$_streq(a, "") && $_streq(b, "")') == (
        "((unsigned char)(a)[0] == 0) && ((unsigned char)(b)[0] == 0)"
    )
    assert "$_" not in compilable("$_strlen(a) + $_strlen(b)")


def test_compares_memory() -> None:
    assert compilable("$_memeq(p, &x, 2)") == (
        "(((unsigned char *)(p))[0] == ((unsigned char *)(&x))[0] && "
        "((unsigned char *)(p))[1] == ((unsigned char *)(&x))[1])"
    )


def test_registers_of_flags_are_numbers() -> None:
    assert compilable("$cr3 == 5 && $rip") == "((unsigned long)$cr3) == 5 && $rip"
    assert compilable("$eflags & 1") == "((unsigned long)$eflags) & 1"
    assert compilable("$cr30 + $eflags.ZF") == "$cr30 + $eflags.ZF"


@pytest.mark.parametrize(
    "wrong",
    [
        "$_streq(a)", "$_streq(a, b)", '$_streq("a", "b")', f'$_streq(a, "{"x" * MOST_BYTES}")', "$_memeq(a, b)",
        "$_memeq(a, b, n)", "$_memeq(a, b, 0)", f"$_memeq(a, b, {MOST_BYTES + 1})", "$_strlen(a, b)", "$_strlen(a",
    ],
)  # fmt: skip
def test_refuses(wrong: str) -> None:
    with pytest.raises(UsageError):
        compilable(wrong)


def test_names_what_gdb_alone_can_judge() -> None:
    assert for_gdb_alone('$_regex(s, "x") && $_streq(s, "y") && $_regex(t, "z")') == ("$_regex",)
    assert for_gdb_alone('$_exitcode == 1 && $_streq(s, "y")') == ()
    assert for_gdb_alone("$_streq(a, b) && $rax") == ("$_streq",)


def test_says_the_price_beforehand() -> None:
    assert price_of('$_regex(s, "x")').startswith("Only GDB can judge $_regex: it stops at each hit")
    assert price_of('$_streq(s, "y") && $cr3 == 1') == ""
