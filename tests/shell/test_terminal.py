"""The shell in a real terminal, as a user sees it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.recordings import fresh_copy
from tests.shell.terminal import CTRL_C, CTRL_D, PROMPT, RIGHT, TAB, UP, Terminal

Start = Callable[..., Terminal]


@pytest.fixture
def start(tmp_path: Path, heapbug: Path) -> Start:
    """Start the shell on a copy of a recording, heapbug's unless told otherwise, and wait for its prompt.

    Travel leaves snapshots, by which other tests' jumps would begin elsewhere.
    """

    def make(*words: str, recording: Path = heapbug, **options: object) -> Terminal:
        copy = fresh_copy(recording, tmp_path / recording.name)
        terminal = Terminal(["replay", str(copy), *words], tmp_path / "home", **options)  # type: ignore[arg-type]
        try:
            terminal.wait_for(PROMPT)
        except BaseException:
            terminal.child.close(force=True)
            raise
        return terminal

    return make


def test_typing_a_session(start: Start) -> None:
    with start() as terminal:
        assert "in panic_bad_magic (number=" in terminal.run("bt")
        assert "Hardware watchpoint 1" in terminal.run("watch tasks[3].magic")
        shown = terminal.run("rc")
        assert re.search(r"^45\s+task->log\[task->log_used\] = 0;", shown, re.MULTILINE)
        assert re.search(r"^7\d% [\d,]+>$", shown.splitlines()[-1].strip())
        terminal.wait_for(r"log_append.*snapshots?", below=True)
        terminal.type("q\r")
        assert terminal.ended() == 0


def test_enter_repeats_the_last_step(start: Start) -> None:
    with start() as terminal:
        terminal.run("seek 80%")
        before = position(terminal)
        terminal.run("stepi")
        terminal.type("\r")
        terminal.wait_for(f"{before + 2:,}> *$")
        terminal.type("\r")
        terminal.wait_for(f"{before + 3:,}> *$")


def position(terminal: Terminal) -> int:
    return int(re.findall(r"% ([\d,]+)>", terminal.text)[-1].replace(",", ""))


def test_completion(start: Start) -> None:
    with start() as terminal:
        terminal.run("bookmark oops")
        terminal.type("info sna" + TAB)
        terminal.wait_for(r"> info snapshots$")
        terminal.type("\x15" + "break log_a" + TAB)
        terminal.wait_for(r"> break log_append$")
        terminal.type("\x15" + "print tas" + TAB)
        terminal.wait_for(r"tasks\b", below=True)
        terminal.wait_for(r"task_count\b", below=True)
        terminal.type("\x15" + "last task_co" + TAB)
        terminal.wait_for(r"> last task_count$")
        terminal.type("\x15" + "seek @o" + TAB)
        terminal.wait_for(r"> seek @oops$")
        terminal.type("\x15" + "events inte" + TAB)
        terminal.wait_for(r"> events interrupt$")


def test_history_stays_and_suggests(start: Start) -> None:
    with start() as terminal:
        terminal.run("print rounds + 41")
        terminal.type("q\r")
        terminal.ended()
    with start() as terminal:
        terminal.type(UP + UP)
        terminal.wait_for(r"> print rounds \+ 41$")
        terminal.type("\x15print rou")
        terminal.wait_for(r"> print rounds \+ 41$")
        terminal.type(RIGHT + "\r")
        terminal.wait_for(r"^\$1 = \d+$")


def test_a_command_of_several_lines(start: Start) -> None:
    with start() as terminal:
        terminal.type("python\r")
        terminal.wait_for(r"^>$")
        terminal.type("for number in range(3):\r    print('row', number)\rend\r")
        terminal.wait_for(r"^row 2\n.*" + PROMPT)
        terminal.type("define never\r")
        terminal.wait_for(r"^>$")
        terminal.type("stepi" + CTRL_C)
        terminal.wait_for(PROMPT)
        assert "Undefined command" in terminal.run("never")


def test_ctrl_c_at_the_prompt_drops_the_line(start: Start) -> None:
    with start() as terminal:
        terminal.type("quit" + CTRL_C)
        terminal.wait_for(r"> quit\n" + PROMPT)
        assert "$1 = 42" in terminal.run("print 42")
        terminal.type(CTRL_D)
        assert terminal.ended() == 0


@pytest.mark.linux
def test_ctrl_c_stops_long_work_and_never_the_shell(start: Start, linux_recording: Path) -> None:
    with start("--at", "start", recording=linux_recording) as terminal:
        for line in ("continue", "seek end", 'tprintf *0x1234,"x"'):
            terminal.type(f"{line}\r")
            terminal.wait_for(r"\[[#.]+\] +\d+%  at [\d,]+")
            terminal.type(CTRL_C)
            terminal.wait_for(r"Interrupted(?: at [\d,:]+\.|: searched up to [\d,:]+; go on with .*)\n" + PROMPT)
            terminal.type(CTRL_C + CTRL_C)
            assert "$" in terminal.run("print 6 * 7")
            terminal.child.send("\x0c")
            terminal.screen.history.top.clear()
            terminal.wait_for(r"\A\d+% [\d,:]+> *$")


def test_two_ctrl_c_in_a_row(start: Start, heapbug: Path) -> None:
    with start("--at", "start") as terminal:
        for pid in terminal.qemus():
            os.kill(pid, signal.SIGSTOP)  # so that there is something to interrupt
        terminal.type("seek 90%\r" + CTRL_C + CTRL_C)
        for _ in range(5):
            for pid in terminal.qemus():
                os.kill(pid, signal.SIGCONT)
        terminal.wait_for(PROMPT)
        assert "$1 = 42" in terminal.run("print 42")


def test_another_size(start: Start) -> None:
    with start(rows=30, columns=80) as terminal:
        terminal.run("help")
        assert "'help NAME' explains one." in terminal.text, "no word is broken"
        assert "Execute one instruction, or COUNT of them." in terminal.text
        terminal.resize(20, 50)
        shown = terminal.run("info timeline")
        assert all(len(line) <= 50 for line in shown.splitlines())
        terminal.wait_for(r"8,\d\d\d,\d\d\d of 8,", below=True)
        assert all(len(line) < 50 for line in terminal.below.splitlines())


def test_a_qemu_that_dies_is_replaced(start: Start) -> None:
    with start("--at", "80%") as terminal:
        before = position(terminal)
        for pid in terminal.qemus():
            os.kill(pid, signal.SIGKILL)
        terminal.run("stepi")
        assert position(terminal) == before + 1
        assert "rounds" in terminal.run("info symbol &rounds")


def test_a_gdb_that_dies_is_told_of(start: Start) -> None:
    with start("--at", "80%") as terminal:
        for pid in terminal.children("gdb"):
            os.kill(pid, signal.SIGKILL)
        assert "GDB is gone" in terminal.run("bt")
        before = position(terminal)
        terminal.run("si")
        assert position(terminal) == before + 1


def test_errors_stay_on_one_line_and_the_shell_goes_on(start: Start) -> None:
    with start() as terminal:
        assert "is outside the recording" in terminal.run("seek 101%")
        assert "nothing can be changed" in terminal.run("set var rounds = 5")
        assert "cannot be used here" in terminal.run("target remote :1")
        assert "Traceback" not in terminal.text


def test_colours_and_none(start: Start) -> None:
    with start() as terminal:
        terminal.run("list log_append")
        assert b"\x1b[" in terminal.raw.split(b"task->log_used < LOG_SIZE")[0].rsplit(b"while", 1)[1] or (
            re.search(rb"\x1b\[\d+(?:;\d+)*m", terminal.raw.rsplit(b"list log_append", 1)[1])
        )
    with start(NO_COLOR="1") as terminal:
        terminal.run("list log_append")
        assert not re.search(rb"\x1b\[(?:3|4|9|10)\d(?:;\d+)*m", terminal.raw)


def test_programs_have_the_terminal(start: Start) -> None:
    with start() as terminal:
        assert "(100.0%)" in terminal.run("when | cat")
        assert "answer: yes" in terminal_says(terminal)


def terminal_says(terminal: Terminal) -> str:
    terminal.type("!read -p 'word? ' word; echo answer: $word\r")
    terminal.wait_for(r"word\?$")
    terminal.type("yes\r")
    return terminal.wait_for(r"answer: yes\n" + PROMPT)
