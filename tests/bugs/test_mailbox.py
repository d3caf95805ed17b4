"""From an oops in one process to another one that has freed what it used (docs/howto/linux-bug.md)."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.model.timeline.position import Position
from tests.cli.conftest import QEMU, Cli
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.linux import QEMU_OPTIONS
from tests.guests.linux.mailbox import build_mailbox
from tests.oracle import observe

pytestmark = [pytest.mark.matrix, pytest.mark.linux, pytest.mark.timeout(600)]

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "linux-bug.md"


def test_an_oops_of_the_reader_is_followed_back_to_the_sender(tmp_path: Path) -> None:
    with failing_clearly("mailbox"):
        mailbox = build_mailbox(GUEST_DIR)
    guest = mailbox.guest
    command = (
        QEMU, *QEMU_OPTIONS, "-nographic", "-no-reboot",
        "-kernel", str(guest.kernel), "-initrd", str(guest.initrd), "-append", guest.cmdline,
    )  # fmt: skip
    recording = tmp_path / "mailbox"
    asyncio.run(Recorder(RecordRequest(command, recording)).run())
    console = (recording / "console.log").read_text(errors="replace")
    oops = console.partition("general protection fault")[2].partition("Call Trace")[0]
    assert re.search(r"Comm: reader .*RIP: 0010:letter_deliver\+", oops, re.DOTALL)
    told = re.search(r"RDI: ([0-9a-f]{16})", oops)
    assert told
    letter = int(told[1], 16)
    told_to = ("symbols mailbox.ko", "last *0x{}:8", "break kfree if $rdi == 0x{}", "reverse-continue", "backtrace")
    page = PAGE.read_text()
    shown = re.search(r"RDI: ([0-9a-f]{16})", page)
    assert shown
    commands = [text.format(shown[1]) for text in told_to]
    assert [text for text in commands if f"(rrdbg) {text}\n" not in page] == []

    typed = [text.format(told[1]).replace("mailbox.ko", str(mailbox.module)) for text in told_to]
    done = Cli(tmp_path / "library")(
        "replay", str(recording), "--batch", "--json", "--at", "end",
        *(word for text in typed for word in ("-ex", text)),
    )  # fmt: skip
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    (changed,) = [answer for answer in answers if answer["kind"] == "changed"]
    assert "clerk" in json.dumps(changed["stopped"]["running"])
    assert int(changed["after"], 0) == int.from_bytes(b"n" * 8, "little")
    *_, stopped, backtrace = answers
    assert stopped["frame"]["function"] == "kfree"
    assert "sender" in json.dumps(stopped["running"])
    assert re.search(r"kfree .*letter_take_back .*mailbox\.c.*__fput", backtrace["text"], re.DOTALL)

    # The forward run: what the clerk writes there is written at this instruction.
    position = Position(**changed["stopped"]["stop"]["position"])
    entries = asyncio.run(observe(recording, position.icount - 5, 12, {letter: 8}))
    (here,) = entries.changes(letter)
    assert entries[here].position == position
