"""What is done with a line before anybody runs it: whose it is, where its output goes, if more must follow."""

from __future__ import annotations

import pytest

from rrdbg.commands.visits import Visits
from rrdbg.errors import OutOfRange, UsageError
from rrdbg.frontends.repl.blocks import Block
from rrdbg.frontends.repl.redirect import Redirected, Sink, read_redirect
from rrdbg.frontends.repl.routing import Ours, Theirs, dispatch, repeated, takes_expression
from rrdbg.frontends.shared.own_gdb import translated
from rrdbg.model.timeline.position import Position

GDB = {
    "backtrace", "break", "bt", "continue", "detach", "disassemble", "end", "forward-search", "help", "info", "kill",
    "list", "next", "print", "python", "reverse-continue", "show", "start", "step", "stepi", "target", "watch", "x",
    "info frame", "info line", "info locals", "info registers", "delete", "when-nothing",
}  # fmt: skip


def canonical(word: str) -> str | None:
    if word in GDB:
        return word
    found = [name for name in GDB if name.startswith(word)]
    return None if not found else found[0] if len(found) == 1 else word


@pytest.mark.parametrize(
    ("line", "name", "text"),
    [
        ("seek 50%", "seek", "50%"),
        ("seek console BUG", "seek console", "BUG"),
        ("when", "when", ""),
        ("start", "start", ""),
        ("run", "start", ""),
        ("end", "end", ""),
        ("sna x", "snapshot", "x"),
        ("boo here why not", "bookmark", "here why not"),
        ("info sn", "info snapshots", ""),
        ("info bookm", "info bookmarks", ""),
        ("delete bookmark oops", "delete bookmark", "oops"),
        ("monitor info snapshots", "info snapshots", ""),
        ("monitor b *0x10", "break", "*0x10"),
        ("help seek", "help", "seek"),
        ("help", "help", ""),
        ("q", "quit", ""),
        ("forward", "forward", ""),
    ],
)
def test_what_is_ours(line: str, name: str, text: str) -> None:
    who = dispatch(line, canonical)
    assert isinstance(who, Ours)
    assert (who.command.name, who.text) == (name, text)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("b main", "break"), ("break *0x10", "break"), ("c", "continue"), ("s", "s"), ("l", "list"), ("si 3", "stepi"),
        ("rc", "reverse-continue"), ("info line 3", "info"), ("info registers rip", "info"), ("i r", "info"),
        ("x/4xg $rsp", "x"), ("p/x $rip", "print"), ("p*task", "print"), ("print a|b", "print"), ("bogus", "bogus"),
        ("help step", "help"), ("help bogus", "help"), ("delete 1", "delete"), ("watch x", "watch"),
        ("python\nprint(1)\nend", "python"),
    ],
)  # fmt: skip
def test_what_is_gdbs(line: str, name: str) -> None:
    who = dispatch(line, canonical)
    assert isinstance(who, Theirs)
    assert who.line == line
    assert who.name == name


@pytest.mark.parametrize("line", ["target remote :1", "tar rem :1", "detach", "k", "kill"])
def test_what_would_take_the_recording_away_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match="cannot be used here"):
        dispatch(line, canonical)


def test_without_a_gdb_all_is_ours() -> None:
    for line, name in (("b *0x10", "break"), ("i r", "info registers"), ("x/4xg $rsp", "x"), ("sn", "snapshot")):
        who = dispatch(line, None)
        assert isinstance(who, Ours)
        assert who.command.name == name
    with pytest.raises(UsageError, match="no command 'bt'"):
        dispatch("bt", None)


@pytest.mark.parametrize(
    ("line", "again"),
    [
        ("si 3", "si 3"), ("rc", "rc"), ("list main", "list"), ("x/4x $rsp", "x"), ("p $pc", "p $pc"), ("seek 5", ""),
        ("back", "back"), ("next-event key", "next-event key"), ("python print(1)", ""), ("delete 1", ""),
    ],
)  # fmt: skip
def test_what_an_empty_line_repeats(line: str, again: str) -> None:
    assert repeated(line, canonical) == again


@pytest.mark.parametrize(
    ("line", "redirected"),
    [
        ("info snapshots | grep named", Redirected("info snapshots", Sink.PROGRAM, "grep named")),
        ("bt > stack.txt", Redirected("bt", Sink.FILE, "stack.txt")),
        ("events interrupt >> all.txt", Redirected("events interrupt", Sink.END_OF_FILE, "all.txt")),
        ("| print a | b", Redirected("print a", Sink.PROGRAM, "b")),
        ("pipe info locals | wc -l | cat", Redirected("info locals", Sink.PROGRAM, "wc -l | cat")),
        ("> out.txt print a > b", Redirected("print a > b", Sink.FILE, "out.txt")),
        (">>out.txt bt", Redirected("bt", Sink.END_OF_FILE, "out.txt")),
        ("print a | b", Redirected("print a | b")),
        ("p a > 3", Redirected("p a > 3")),
        ("break f if x > 3", Redirected("break f if x > 3")),
        ("seek console a | b", Redirected("seek console a | b")),
        ('tprintf f,"a > b"', Redirected('tprintf f,"a > b"')),
    ],
)
def test_where_the_output_goes(line: str, redirected: Redirected) -> None:
    assert read_redirect(line, lambda part: takes_expression(part, canonical)) == redirected


@pytest.mark.parametrize("line", ["| print a", "|", "> out.txt", "pipe bt |"])
def test_half_a_redirection_is_refused(line: str) -> None:
    with pytest.raises(UsageError):
        read_redirect(line, lambda part: True)


def test_blocks_end_where_gdb_ends_them() -> None:
    block = Block()
    assert not block.begun
    lines = ["define hop", "if $pc == 3", "python", "if x:", "    pass", "end", "else", "stepi", "end", "end"]
    assert [block.feed(line) for line in lines[:-1]] == [None] * 9
    assert block.feed(lines[-1]) == "\n".join(lines)
    assert block.feed("python print(1)") == "python print(1)"
    assert block.feed("document hop") is None
    assert block.feed("if this were a command it would open a block") is None
    assert block.feed("end") == "document hop\nif this were a command it would open a block\nend"


def test_watches_of_bytes_are_translated() -> None:
    assert translated("watch *0x104128:8") == "watch *(unsigned long *)(0x104128)"
    assert translated("awatch *$rsp+8:3") == "awatch *(unsigned char (*)[3])($rsp+8)"
    assert translated("watch -l tasks[3].magic") == "watch -l tasks[3].magic"
    assert translated("rwatch a ? b:4") == "rwatch a ? b:4"


def test_places_are_gone_through_as_in_a_browser() -> None:
    visits = Visits()
    for icount in (1, 2, 2, 3, 4):
        visits.note(Position(icount))
    assert visits.go(-1) == Position(3)
    assert visits.go(-2) == Position(1)
    with pytest.raises(OutOfRange, match="no place to go back to"):
        visits.go(-1)
    assert visits.go(1) == Position(2)
    with pytest.raises(OutOfRange, match="2 places to go forward to"):
        visits.go(3)
    visits.note(Position(2))
    assert visits.go(1) == Position(3)
    visits.note(Position(9))
    with pytest.raises(OutOfRange, match="no place to go forward to"):
        visits.go(1)
    assert visits.go(-1) == Position(3)
