"""Any wait in any front end ends on Ctrl-C, with its position told: also one for a QEMU that answers nothing."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.conftest import QEMU, Cli
from tests.guests.build import QEMU_OPTIONS
from tests.processes import command_line, qemus_of, wait_until_gone
from tests.recordings import fresh_copy

PATIENCE_SECONDS = 45
"""How long anything may take to end, on a busy host too; QEMU's silence alone would end it after 60 s."""
FROZEN_SECONDS = 0.3
POLL_SECONDS = 0.01

AT = r"[Ii]nterrupted(?: at|: searched up to) [\d,:]+"


@dataclass(frozen=True)
class Wait:
    """A command line that waits for the ``nth`` QEMU that it starts, which is frozen, and what it says of its end."""

    name: str
    words: Sequence[str]
    nth: int = 1
    says: str = AT
    status: int | None = 130
    """None: 130 before the guest runs, 1 if a recording could not be ended in order."""
    script: str = ""
    """What ``SCRIPT`` in the words is a file of."""
    after: str = ""
    """What it prints before it comes to what it shall wait for."""


API = """
import sys, rrdbg
try:
    with rrdbg.open(sys.argv[1]) as replay:
        replay.seek("50%")
        list(replay.hits(0x100000))
except rrdbg.Interrupted as error:
    print(error)
    sys.exit(error.exit_code)
"""
LONG = "import time\ndef judge(replay):\n    replay.seek('10%')\n    time.sleep(100)\n"
GUEST = (QEMU, *QEMU_OPTIONS, "-serial", "stdio")
"""It finds nothing to boot, and waits for ever."""

IN_SHELL = r"\(100.0%\)"


def shell(*commands: str, options: Sequence[str] = ("--no-gdb",)) -> Wait:
    """The last of some commands in a batch."""
    words = [word for command in commands for word in ("-ex", command)]
    name = " ".join([*commands, *options[:1]]).replace("--no-gdb", "without GDB")
    return Wait(name, ["replay", "COPY", "--batch", *options, *words], nth=0, after=IN_SHELL)


WAITS = [
    Wait("opening, QEMU's version", ["replay", "COPY", "--no-gdb", "--batch"]),
    Wait("opening", ["replay", "COPY", "--no-gdb", "--batch"], nth=2),
    Wait("opening with GDB", ["replay", "COPY", "--batch"], nth=2),
    shell("seek 50%"),
    shell("break *1", "rc", options=()),
    shell("last *0x100000:8"),
    shell('tprintf *1,"x"'),
    shell("rsi 2000", options=()),
    shell("writes *0x100000:8", options=("--no-gdb", "--jobs", "2")),
    Wait("a command file", ["replay", "COPY", "--no-gdb", "--batch", "-x", "SCRIPT"], 0, AT, 130, "rc\n", IN_SHELL),
    Wait("gdb", ["gdb", "COPY", "--", "-batch", "-ex", "monitor seek 50%", "-ex", "continue"], 2, "", None),
    Wait("serve", ["serve", "COPY", "--listen", "unix"], 0, "Serving", 0, after="Serving"),
    Wait("bisect", ["bisect", "COPY", "--memory", "0x100000:1!=00"], 2),
    Wait("bisect --scan", ["bisect", "COPY", "--scan", "--memory", "0x100000:1!=00"], 2),
    Wait("bisect --run", ["bisect", "COPY", "--run", "sleep", "100"], 0, after="Bisecting"),
    Wait("bisect --python", ["bisect", "COPY", "--python", "SCRIPT:judge"], 2, script=LONG),
    Wait("bisect-boot", ["bisect-boot", "--good", "COPY", "--bad", "OTHER", "--no-gdb"], 4),
    Wait("index", ["index", "COPY"], 2),
    Wait("verify", ["verify", "COPY"], 2),
    Wait("record, QEMU's version", ["record", "-o", "NEW", "--", *GUEST]),
    Wait("record", ["record", "-o", "NEW", "--", *GUEST], 2, rf"{AT}|QEMU has not reacted", None),
    Wait("doctor", ["doctor", "--", *GUEST], says="[Ii]nterrupted"),
    Wait("doctor, its trial", ["doctor", "--", *GUEST], 4, "[Ii]nterrupted"),
    Wait("API", ["SCRIPT", "COPY"], 2, script=API),
]


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.name)
def test_a_wait_for_a_qemu_that_hangs_ends_on_ctrl_c(
    wait: Wait, cli: Cli, workload_recording: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(wait.script)
    names = {
        "COPY": str(fresh_copy(workload_recording, tmp_path / "copy")),
        "OTHER": str(fresh_copy(workload_recording, tmp_path / "other")),
        "NEW": str(tmp_path / "new"), "SCRIPT": str(script),
        "SCRIPT:judge": f"{script}:judge",
    }  # fmt: skip
    words = [names.get(word, word) for word in wait.words]
    with started(cli, words, script) as process:
        said = freeze(process, wait.nth, wait.after)
        # To the group, as a terminal does.
        os.killpg(process.pid, signal.SIGINT)
        out = said + process.communicate(timeout=PATIENCE_SECONDS)[0]
    assert "Traceback" not in out, out
    assert re.search(wait.says, out), f"{process.returncode}: {out}"
    assert process.returncode in ((1, 130) if wait.status is None else (wait.status,)), out
    assert not (tmp_path / "new").exists(), "what cannot be replayed is not left"
    wait_until_gone(tmp_path)


@contextmanager
def started(cli: Cli, words: Sequence[str], script: Path) -> Iterator[subprocess.Popen[str]]:
    """A running rrdbg, or the Python script."""
    command = [sys.executable, *words] if words[0] == str(script) else [sys.executable, "-m", "rrdbg", *words]
    process = subprocess.Popen(
        command, env=cli.environment(PYTHONUNBUFFERED="1"), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            for pid in qemus_of(process.pid):
                os.kill(pid, signal.SIGKILL)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def freeze(process: subprocess.Popen[str], nth: int, after: str) -> str:
    """When ``after`` is printed, stop QEMU number ``nth`` that ``process`` starts, and all that come, for a while.

    Returns what was printed by then.
    """
    seen: set[int] = set()
    said = ""
    deadline = time.monotonic() + PATIENCE_SECONDS
    frozen_at = None
    while frozen_at is None or time.monotonic() < frozen_at + FROZEN_SECONDS:
        assert process.poll() is None, f"it waited for nothing: {said}{process.communicate()[0]}"
        assert time.monotonic() < deadline, f"it has started {len(seen)} QEMUs, and said {said!r}"
        assert process.stdout is not None
        if select.select([process.stdout], [], [], POLL_SECONDS)[0]:
            said += os.read(process.stdout.fileno(), 1 << 16).decode()
        running = {pid for pid in qemus_of(process.pid) if command_line(pid) != command_line(process.pid)}
        seen |= running
        if re.search(after, said) and (frozen_at or len(seen) >= nth):
            frozen_at = frozen_at or time.monotonic()
            for pid in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
    return said
