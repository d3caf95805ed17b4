"""What cannot be recorded is told option by option, and what is left can be."""

from __future__ import annotations

import pytest

from rrdbg.model.machine.correction import added, correct
from rrdbg.model.machine.findings import Level, fit
from rrdbg.model.machine.invocation import prepare

QEMU = "qemu-system-x86_64"
NOW = "2026-11-22T10:00:00"


def corrected(words: str) -> str:
    made = correct((QEMU, *words.split()), clock_base=NOW)
    assert made.invocation is not None
    prepare(made.command, shift="5", clock_base=NOW)
    return " ".join(made.command[1:])


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("-m 1G -nographic", "-m 1G -nographic"),
        ("-smp 4 -m 1G", "-m 1G"),
        ("-smp cores=2,maxcpus=2", ""),
        ("-enable-kvm -cpu host", "-cpu max"),
        ("-machine q35,accel=kvm,graphics=off", "-machine q35,graphics=off"),
        ("-machine q35,accel=kvm,usb=on", "-machine q35"),
        ("-object memory-backend-file,id=r,share=on,mem-path=f", "-object memory-backend-file,id=r,mem-path=f"),
        ("-accel tcg,thread=multi", "-accel tcg"),
        ("-accel kvm", ""),
        ("-drive file=d.img,format=raw,snapshot=on", "-drive file=d.img,format=raw"),
        ("-rtc base=2020-01-01,clock=host", "-rtc base=2020-01-01"),
        ("-sd a.img -S -s -loadvm x -m 1G", "-m 1G"),
        ("-smp 2 -snapshot -drive file=d.img,if=sd", "-drive file=d.img"),
    ],
)
def test_the_least_change(given: str, left: str) -> None:
    assert corrected(given) == left


def test_each_refusal_is_told_with_its_reason() -> None:
    made = correct((QEMU, "-smp", "4", "-m", "1G", "-enable-kvm"), clock_base=NOW)
    assert [finding.level for finding in made.findings] == [Level.WRONG, Level.WRONG]
    assert "QEMU records one" in made.findings[0].what
    assert made.findings[0].remedy == "Left out: -smp 4"
    assert "KVM" in made.findings[1].what
    assert not fit(made.findings)


def test_the_rate_is_kept() -> None:
    made = correct((QEMU, "-icount", "shift=auto,sleep=off"), clock_base=NOW)
    assert made.shift == "auto"
    assert made.invocation is not None
    assert made.invocation.shift == "auto"


def test_a_line_that_is_right_stays_and_nothing_is_found() -> None:
    words = (QEMU, "-m", "1G", "-drive", "file=a,,b.img")
    made = correct(words, clock_base=NOW)
    assert made.command == words
    assert made.findings == ()


def test_what_cannot_be_mended_is_told() -> None:
    made = correct((QEMU, "-m"), clock_base=NOW)
    assert made.invocation is None
    assert "needs an argument" in made.findings[0].what


def test_what_is_added_has_a_reason() -> None:
    made = correct((QEMU, "-hda", "d.img"), clock_base=NOW)
    assert made.invocation is not None
    told = [finding.what for finding in added(made.invocation)]
    assert f"-rtc base={NOW},clock=vm: the guest's clock follows its instructions, from a fixed date." in told
    assert any("d.img, which is only read" in line for line in told)
