"""Command lines for record and replay that people wrote, taken apart."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from rrdbg.errors import UsageError
from rrdbg.model.machine.handmade import HandMade, missing_flags, take_apart
from rrdbg.model.machine.options import words_of

ICOUNT = ("-icount", "shift=auto,rr=replay,rrfile=replay.bin,rrsnapshot=init")
HERE = PurePath("/home/user")


def read(*words: str, binary: str = "qemu-system-x86_64") -> HandMade:
    return take_apart((binary, *words, *ICOUNT), HERE)


def kept(*words: str) -> str:
    return " ".join(words_of(read(*words).invocation.options))


def test_what_is_the_hosts_goes_and_the_machine_stays() -> None:
    made = read(
        "-m", "1G", "-cpu", "qemu64", "-S", "-s", "-gdb", "tcp::1", "-qmp", "unix:q,server=on", "-monitor", "stdio",
        "-display", "gtk", "-no-shutdown", "-kernel", "vmlinuz", "-append", "quiet",
        "-serial", "stdio", "-serial", "pty",
    )  # fmt: skip
    assert " ".join(words_of(made.invocation.options)) == (
        "-m 1G -cpu qemu64 -append quiet -serial chardev:rrdbg-console -serial null"
    )
    assert made.log == "replay.bin"
    assert made.tag == "init"
    assert made.invocation.shift == "auto"
    assert [(file.option, file.source) for file in made.invocation.bundled] == [("kernel", "/home/user/vmlinuz")]


@pytest.mark.parametrize("name", ["a/kernel.elf", "/dev/fd/7"])
def test_a_kernel_keeps_a_name_as_long_as_its_own(name: str) -> None:
    """A multiboot kernel is told it."""
    (file,) = read("-kernel", name).invocation.bundled
    assert file.opened_as is not None
    assert len(file.opened_as) == len(name)
    assert PurePath(file.opened_as) == PurePath("/dev/fd/3")


def test_what_nographic_means_to_the_guest_stays() -> None:
    assert kept("-nographic") == "-machine graphics=off -serial chardev:rrdbg-console"


@pytest.mark.parametrize(
    ("words", "serials"),
    [
        ((), "-serial chardev:rrdbg-console"),
        (("-nodefaults",), "-nodefaults"),
        (("-nodefaults", "-serial", "mon:stdio"), "-nodefaults -serial chardev:rrdbg-console"),
        (("-serial", "none"), "-serial none"),
        (("-chardev", "stdio,id=c", "-device", "isa-serial,chardev=c"), "-device isa-serial,chardev=c"),
    ],
)
def test_the_machine_gets_the_serial_ports_that_it_had(words: tuple[str, ...], serials: str) -> None:
    assert kept(*words) == serials


def test_more_of_icount_is_kept() -> None:
    made = take_apart(("qemu-system-arm", "-icount", "3,rr=record,rrfile=l,sleep=off"), HERE)
    assert made.invocation.shift == "3"
    assert words_of(made.invocation.options)[-2:] == ("-icount", "sleep=off")
    assert made.tag is None


def test_files_are_told_from_the_root() -> None:
    assert "file=/home/user/flash.fd" in kept("-drive", "if=pflash,readonly=on,format=raw,file=flash.fd")


def test_files_inside_of_options_are_brought_along() -> None:
    made = read("-kernel", "vmlinuz", "-device", "loader,file=x.bin,addr=0").invocation
    assert words_of(made.options)[:2] == ("-device", "driver=loader,file=/dev/fd/4,addr=0")
    assert [(file.name, file.source) for file in made.bundled] == [
        ("kernel", "/home/user/vmlinuz"), ("device-4", "/home/user/x.bin")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ("-drive", "file=d.img,if=none,id=a", "-drive", "driver=blkreplay,if=none,image=a,id=b"),
        ("-drive", "driver=blkreplay,if=none,image.driver=qcow2,image.file.filename=d.img,id=b"),
        (
            "-blockdev", "driver=qcow2,node-name=a,file.driver=file,file.filename=d.img",
            "-blockdev", '{"driver": "blkreplay", "image": "a", "node-name": "b"}',
        ),
        (
            "-blockdev", "driver=file,filename=d.img,node-name=f", "-blockdev", "driver=qcow2,file=f,node-name=a",
            "-blockdev", "driver=blkreplay,image=a,node-name=b",
        ),
    ],
)  # fmt: skip
def test_each_way_to_write_a_drive(words: tuple[str, ...]) -> None:
    made = read(*words, "-device", "ide-hd,drive=b", "-drive", "if=none,id=state,file=state.qcow2")
    (drive,) = made.drives
    assert drive.disk.source == "/home/user/d.img"
    assert drive.disk.frontend == {"if": "none", "id": "b"}
    assert not drive.untouched
    assert "blkreplay" not in " ".join(words_of(made.invocation.options))


def test_drives_to_which_a_recording_writes_nothing() -> None:
    (overlaid,) = read("-drive", "file=d,if=none,snapshot,id=a", "-drive", "driver=blkreplay,image=a").drives
    assert overlaid.untouched
    assert not overlaid.disk.read_only
    (cdrom,) = read("-drive", "file=d,if=none,id=a", "-drive", "driver=blkreplay,image=a,media=cdrom").drives
    assert cdrom.untouched
    assert cdrom.disk.read_only


@pytest.mark.parametrize(
    "words",
    [
        ("disk.img",),
        ("-cdrom", "cd.iso"),
        ("-drive", "file=d.img"),
        ("-drive", "file=d.img,if=none,id=a", "-device", "ide-hd,drive=a"),
        ("-drive", "file=vars.fd,if=pflash"),
        ("-blockdev", "driver=raw,file.filename=d,node-name=a", "-device", '{"driver": "ide-hd", "drive": "a"}'),
    ],
)
def test_a_drive_that_is_not_in_the_log_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="not behind blkreplay"):
        read(*words)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("-drive", "driver=blkreplay,image=x"), "names the image 'x'"),
        (("-blockdev", "{driver}"), "is not JSON"),
        (("-drive", "driver=blkreplay,id=x"), "which file"),
        (("-snapshot",), "QEMU cannot record with -snapshot"),
        (("-daemonize",), "leave -daemonize out"),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        read(*words)


def test_a_command_line_without_icount_is_refused() -> None:
    with pytest.raises(UsageError, match="it has no -icount"):
        take_apart(("qemu-system-x86_64", "-m", "1G"), HERE)


def test_what_a_machine_lacks_for_safe_jumps() -> None:
    safe = ("-machine", "hpet=off", "-global", "apic.vapic=off", "-rtc", "base=2026-01-01,clock=vm")
    assert missing_flags(read(*safe).invocation) == ()
    assert missing_flags(read("-no-hpet", *safe[2:]).invocation) == ()
    assert missing_flags(read("-machine", "q35").invocation) == (
        "-machine hpet=off", "-global apic-common.vapic=off", "-rtc base=DATE,clock=vm",
    )  # fmt: skip
    assert missing_flags(read("-machine", "virt", *safe[4:], binary="qemu-system-aarch64").invocation) == ()


def test_a_network_that_is_not_in_the_log_is_noted() -> None:
    def topics(*words: str) -> list[str]:
        return [finding.topic for finding in read("-global", "apic.vapic=off", *words).notes]

    assert "network" in topics()
    assert "network" in topics("-nic", "user")
    assert "network" not in topics("-nic", "none")
    assert "network" not in topics("-nodefaults")
    assert "network" not in topics("-netdev", "user,id=n", "-object", "filter-replay,id=r,netdev=n")
