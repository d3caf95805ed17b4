"""What tprintf is given and what it prints, against C's own printf, and GDB's listings of bytecode."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrdbg.errors import UsageError
from rrdbg.model.program.agent import Expression
from rrdbg.model.program.guest_string import GuestString
from rrdbg.model.program.tracing import Format, Print, TracedValue, Tracepoint, assemble, read_listings, split_arguments

RUN = GuestString(0x1000, b"run")


@pytest.mark.parametrize(
    ("form", "values", "printed"),
    [
        ("%d", [0xFFFF_FFFF_FFFF_FFFF], "-1"),
        ("%d", [0x1_0000_0005], "5"),
        ("%ld", [0x1_0000_0005], "4294967301"),
        ("%u", [0xFFFF_FFFF_FFFF_FFFF], "4294967295"),
        ("%hhd %hd", [0x80, 0x8000], "-128 -32768"),
        ("%5d|%-5d|%05d", [42, 42, 42], "   42|42   |00042"),
        ("%#lx %X %o", [0xABCDEF012, 0xAB, 8], "0xabcdef012 AB 10"),
        ("%p", [0x104128], "0x104128"),
        ("%c%c", [0x41, 0x100 + 0x42], "AB"),
        ("[%s] %.2s %6s", [RUN, RUN, RUN], "[run] ru    run"),
        ('100%%\\n\\t\\\\\\"', [], '100%\n\t\\"'),
    ],
)
def test_formats_are_those_of_c(form: str, values: list[TracedValue], printed: str) -> None:
    assert Format.read(form).show(values) == printed


def test_what_is_written_is_taken_apart() -> None:
    wanted = Print.read('heap.c:44, "%s: %d, \\"%c\\"", f(a, b), ring[i, 2], \',\' from 10% to @oops')
    assert wanted.location == "heap.c:44"
    assert wanted.arguments == ("f(a, b)", "ring[i, 2]", "','")
    assert (wanted.start, wanted.end) == ("10%", "@oops")
    assert wanted.format.show([GuestString(0x1000, b"x"), 1, 65]) == 'x: 1, "A"'


def test_a_range_alone() -> None:
    wanted = Print.read('panic,"here" to 50%')
    assert (wanted.location, wanted.arguments, wanted.start, wanted.end) == ("panic", (), "", "50%")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "takes a location"),
        ("f", "takes a location"),
        ('"%d",x', "takes a location"),
        ('f,"open', "takes a location"),
        ('f,"%d"', "1 conversions, but there are 0"),
        ('f,"x",1', "0 conversions, but there are 1"),
        ('f,"%f",1', "does not know '%f'"),
        ('f,"%"', "does not know '%'"),
        ('f,"x" x', "comes a comma"),
    ],
)
def test_what_cannot_be_understood_is_said(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Print.read(text)


def test_a_listing_of_gdbs_becomes_its_bytecode() -> None:
    # log_append's `task->log_used == 300`, as GDB 13.1 prints it
    listing = ["  0  reg 5", "  3  zero_ext 64", "  5  const8 48", "  7  add", "  8  ref64", "  9  const16 300"]
    listing += [" 12  equal", " 13  end"]
    code = assemble(listing)
    assert code.code.hex() == "2600052a40223002" + "1a" + "23012c" + "13" + "27"
    assert code.reads_registers
    assert not assemble(["  0  const32 1064968", "  5  ref64", "  6  end"]).reads_registers


@pytest.mark.parametrize("line", ["  0  float", "  1  add", "  0  const8", "  0  ref64 3 4", "nonsense"])
def test_a_listing_that_is_not_understood_is_refused(line: str) -> None:
    with pytest.raises(UsageError):
        assemble([line])


@given(st.integers(0, 2**64 - 1), st.lists(st.binary(min_size=1, max_size=9), max_size=4))
def test_tracepoints_are_read_as_they_are_written(address: int, codes: list[bytes]) -> None:
    point = Tracepoint(address, tuple(Expression(code) for code in codes))
    assert Tracepoint.read(str(point)) == point


@given(
    st.lists(st.sampled_from(["a", "f(x, y)", "r[1, 2]", '"a,b"', "'\"'", "{1, {2, 3}}", '"\\","', "*p"]), max_size=5)
)
def test_arguments_are_parted_at_outer_commas(arguments: list[str]) -> None:
    assert split_arguments(", ".join(arguments)) == arguments


def test_a_condition_stands_behind_the_location() -> None:
    wanted = Print.read('file.c:12 if x > 1 && y,"%d",x from 50%')
    assert (wanted.location, wanted.condition, wanted.expressions) == ("file.c:12", "x > 1 && y", ("x > 1 && y", "x"))


def test_long_listings_are_read_to_their_end() -> None:
    """From operation 100 on GDB writes no blank before the place."""
    operations = [f"{place:3}  {'pop' if place % 2 else 'dup'}" for place in range(120)]
    text = "Scope: 0x1000\nReg mask: 00000000 \n" + "\n".join([*operations, "120  end"]) + "\n"
    assert read_listings(text)[0x1000].code == b"\x28\x29" * 60 + b"\x27"
