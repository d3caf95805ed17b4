"""What GDB's extensions for kernels ask of a QEMU: its packets (C1), and its monitor where that only looks (C2)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rrdbg.errors import UsageError
from rrdbg.model.machine.inquiry import read_inquiry
from tests.guests.build import symbol
from tests.oracle import Oracle
from tests.server.conftest import debugging


async def test_a_qemu_is_known_by_its_packets_and_its_monitor_answers(
    workload: Path, workload_guest: Path, busy: Oracle, tmp_path: Path
) -> None:
    async with debugging(workload, workload_guest, tmp_path) as debugger:
        gdb, middle = debugger.gdb, len(busy) // 2
        for packet, answer in (
            ("qqemu.sstepbits", "ENABLE=1,NOIRQ=2,NOTIMER=4"), ("Qqemu.sstepbits", "ENABLE=1,NOIRQ=2,NOTIMER=4"),
            ("qqemu.sstep", "0x7"), ("Qqemu.sstep=1", "OK"), ("qqemu.PhyMemMode", "0"),
        ):  # fmt: skip
            assert f'received: "{answer}"' in await gdb.console(f"maintenance packet {packet}")

        counter = symbol(workload_guest, "counter").address
        for place in (middle, middle + 200):
            await debugger.seek(busy[place].position)
            read = await gdb.console(f"monitor xp /1xg {counter:#x}")
            assert int(read.split(":")[1], 16) == int.from_bytes(busy[place].memory[counter], "little")
            assert f"{counter:#x}" in await gdb.console(f"monitor gva2gpa {counter:#x}")
            assert "-rw" in await gdb.console("monitor info mem")
            assert re.search(r"^0000000000000000: 0000000000000000 .*P", await gdb.console("monitor info tlb"))
            assert "pc.ram" in await gdb.console("monitor info mtree -f")
            assert "CPU #0" in await gdb.console("monitor info cpus")
            assert "isa-serial" in await gdb.console("monitor info qtree")
            said = await gdb.console("monitor info registers")
            assert int(re.findall(r"\bCR3=([0-9a-f]+)", said)[0], 16) == await debugger.number("$cr3")
            assert re.search(r"^IDT= +[0-9a-f]+ [0-9a-f]+$", said, re.MULTILINE)
            # What was looked at goes on as it was recorded.
            await gdb.console("stepi")
            assert debugger.replay.position == busy[place + 1].position
            assert await debugger.replay.registers() == busy.registers(place + 1)
        assert "registers" in await gdb.console("monitor help info registers"), "rrdbg's own commands are not QEMU's"
        for line in ("savevm x", "system_reset", "device_add usb-kbd", "info nothing", "pmemsave 0 9 /tmp/x"):
            assert "what-if on" in await gdb.console(f"monitor {line}")
        assert "would be changed by being read" in " ".join((await gdb.console("monitor xp /1xw 0xfee00000")).split())
        await gdb.console("monitor what-if on")
        assert "a what-if is going on" in await gdb.console("monitor info mem")


@pytest.mark.parametrize(
    "line",
    [
        "info mtree\nquit", "info mtree; quit", "info usernet", "infomem", "info", "gva2gpa", "xp", "xp /0xg 0",
        "xp /70000xg 0", "x /4xg 0", "gpa2hva 0", "gpa2hpa 0", "print $rip", "stop",
        "info mem " + "a" * 400, "info mem `id`",
    ],
)  # fmt: skip
def test_what_does_more_than_look_is_refused(line: str) -> None:
    with pytest.raises(UsageError):
        read_inquiry(line)


def test_what_only_looks() -> None:
    assert read_inquiry("info mtree -f -d").line == "info mtree -f -d"
    read = read_inquiry("xp/4xg $rsp + 8")
    assert (read.line.format(0x1000), read.address, read.physical) == ("xp /4xg 0x1000", "$rsp + 8", 32)
    assert read_inquiry("xp 0x1000").physical == 4
    assert read_inquiry("gva2gpa &counter").line.format(16) == "gva2gpa 0x10"
