"""From a Linux kernel's oops back to the write that damaged the object it met (tests/guests/linux/firmware)."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from rrdbg.engine.making.recorder import Recorder, RecordRequest
from rrdbg.model.timeline.position import Position
from tests.bugs.test_bugs import HANDBOOK
from tests.cli.conftest import QEMU, Cli
from tests.conftest import GUEST_DIR, failing_clearly
from tests.guests.linux import QEMU_OPTIONS, build_buggy_linux, firmware, make_symbols
from tests.oracle import observe_to_the_end

pytestmark = [pytest.mark.matrix, pytest.mark.linux, pytest.mark.timeout(600)]


def test_an_oops_is_followed_back_into_the_firmware(tmp_path: Path) -> None:
    with failing_clearly("linux"):
        guest = build_buggy_linux(GUEST_DIR)
        symbols = make_symbols(guest)
    command = (
        QEMU, *QEMU_OPTIONS, "-nographic", "-no-reboot",
        "-kernel", str(guest.kernel), "-initrd", str(guest.initrd), "-append", guest.cmdline,
    )  # fmt: skip
    recording = tmp_path / "oops"
    asyncio.run(Recorder(RecordRequest(command, recording, until_console="Kernel panic")).run())
    oops = (recording / "console.log").read_text(errors="replace").partition("BUG: unable to handle page fault")[2]
    assert "RIP: 0010:kmem_cache_alloc+" in oops
    assert "alloc_vfsmnt+" in oops
    victims = {int(value, 16) for value in re.findall(r"R(?:DI|BP): ([0-9a-f]{16})", oops.partition("Call Trace")[0])}

    expression = f"**(unsigned long **) &{firmware.VICTIM}"
    onward = ("break acpi_evaluate_object", "reverse-continue", "x/s $rsi")
    assert all(command in HANDBOOK.read_text() for command in (f"-ex 'last {expression}'", *onward))
    done = Cli(tmp_path / "library")(
        "replay", str(recording), "--symbols", str(symbols), "--batch", "--json",
        "-ex", f"print *(unsigned long *) &{firmware.VICTIM}", "-ex", f"last {expression}",
        *(word for command in onward for word in ("-ex", command)),
    )  # fmt: skip
    _, _, asked, changed, _, called, name = (json.loads(line) for line in done.stdout.splitlines())
    address = int(asked["text"].split(" = ")[1])
    assert address in victims, "the oops names the object"
    stopped = changed["stopped"]
    assert stopped["frame"]["function"] == "acpi_ex_system_memory_space_handler"
    assert called["frame"]["function"] == "acpi_evaluate_object"
    assert "_SUN" in json.dumps(name)

    position = Position(**stopped["stop"]["position"])
    oracle, written_later = asyncio.run(observe_to_the_end(recording, position.icount - 20, 25, {address: 8}))
    here = oracle.index(position)
    assert oracle[here].pc == stopped["stop"]["pc"]
    assert oracle.changes(address) == [here]
    assert not written_later
    before, after = (int.from_bytes(oracle[index].memory[address], "little") for index in (here, here + 1))
    assert (before, after) == (int(changed["before"]), int(changed["after"]))
    assert after == before & ~0xFFFF_FFFF | firmware.WRITTEN

    # Early in the boot the object's memory is not mapped yet. That it is mapped later is no write.
    done = Cli(tmp_path / "library")(
        "replay", str(recording), "--no-gdb", "--batch", "--json",
        "-ex", f"writes *{address:#x}:8 from {position.icount * 6 // 10} to {position.icount - 10}",
    )  # fmt: skip
    *_, told = listed = [json.loads(line) for line in done.stdout.splitlines()]
    assert "was changed" in told["text"]
    assert all(item["fields"]["old"] != "<unknown>" for item in listed if item["kind"] == "found")
