"""What a command line that somebody else has written may ask of QEMU."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrdbg.errors import RecordingError
from rrdbg.model.machine.description.describe import describe
from rrdbg.model.machine.description.listing import Unreadable, read_list, write_list
from rrdbg.model.machine.drives import Disk
from rrdbg.model.machine.invocation import Addition, BundledFile, Invocation, prepare
from rrdbg.model.machine.options import Option, parse_options
from rrdbg.model.machine.serial import Line

INSIDE = Disk("files/disk-0", "qcow2", False, {"if": "virtio", "index": "0"})


def invocation(words: str = "", binary: str = "qemu-system-x86_64") -> Invocation:
    return prepare([binary, *shlex.split(words)], shift="5", clock_base="2026-11-22T10:00:00")


@pytest.mark.parametrize(
    "words",
    [
        "-m 256M -nographic -no-reboot -kernel vmlinuz -initrd initrd -append 'console=ttyS0 root=/dev/vda panic=-1'",
        "-M q35,smm=off -cpu max,+avx2 -smp 1 -m 1G -vga std -serial stdio -boot order=c,menu=off -accel tcg",
        "-machine virt,gic-version=3 -drive if=none,media=cdrom,id=d0 -device virtio-blk-device,drive=d0 -cpu max",
        "-rtc base=2020-01-01",
        "-nic user,model=virtio-net-pci,restrict=on -device virtio-rng-pci,rng=r -object rng-builtin,id=r",
        "-netdev user,id=n -device rtl8139,netdev=n,mac=52:54:00:12:34:56 -device isa-debug-exit,iobase=0xf4,iosize=4",
        "-chardev null,id=c -device isa-serial,chardev=c -serial null -serial chardev:c -global PIIX4_PM.disable_s3=1",
        "-fw_cfg name=opt/com.example/seed,string=5 -device VGA,xres=800 -no-acpi",
        "-device piix3-usb-uhci -device usb-tablet",
    ],
)
def test_machines_are_allowed(words: str) -> None:
    describe(invocation(words))
    describe(replace(invocation(words), disks=(INSIDE,)))


@pytest.mark.parametrize(
    "words",
    [
        "-serial file:/home/user/.bashrc", "-serial tcp::4444,server=on", "-parallel /dev/parport0",
        "-monitor unix:/tmp/x,server=on", "-serial pipe:x", "-chardev file,id=x,path=/tmp/x", "-plugin /tmp/evil.so",
        "-drive file=/etc/shadow,format=raw", "-blockdev driver=file,node-name=x,filename=/etc/shadow",
        "-fw_cfg name=opt/x,file=/etc/shadow", "-fw_cfg opt/x,string=a,file=secret", "-readconfig /tmp/x",
        "-netdev tap,id=n,script=/tmp/x", "-netdev user,id=n,guestfwd=tcp:10.0.2.100:1-cmd:sh",
        "-nic user,hostfwd=tcp::22-:22", "-nic user,smb=/home", "-netdev bridge,id=n,helper=/tmp/x",
        "-netdev user,id=n,tftp=x", "-device vfio-pci,host=01:00.0", "-device loader,file=/etc/shadow",
        "-device virtio-net-pci,romfile=/etc/shadow", "-device virtio-net-pci,romfile=x", "-fsdev local,id=f,path=/",
        "-device virtio-9p-pci,fsdev=f,mount_tag=x", "-virtfs local,path=/,mount_tag=x,security_model=none",
        "-device usb-host", "-device usb-mtp,rootdir=/", "-device ivshmem-plain,memdev=m", "-device vhost-vsock-pci",
        "-object memory-backend-file,id=m,mem-path=/tmp/x,size=1M", "-object rng-random,id=r,filename=/etc/shadow",
        "-object secret,id=s,file=/etc/shadow", "-object filter-dump,id=f,netdev=n,file=x", "-L /tmp", "-trace x",
        "-machine pc,firmware=/tmp/x", "-machine virt,dumpdtb=x", "-M virt,dtb=x", "-machine pc,accel=kvm",
        "-global virtio-net-pci.romfile=x", "-global isa-serial.chardev=x", "-pidfile x", "-chroot /", "-runas root",
        "-global driver=virtio-net-pci,property=romfile,value=x", "-boot splash=x", "-smbios file=x",
        "-acpitable file=x", "-D x",
        "-option-rom x", "-semihosting-config enable=on,target=native", "-semihosting", "-audiodev wav,id=a,path=x",
        "-set device.x.romfile=y", "-qmp unix:x,server", "-gdb tcp::1234", "-vnc :1", "-add-fd fd=3,set=2", "-m @x/y",
        "-device '{\"driver\":\"virtio-net-pci\",\"romfile\":\"x\"}'", "-incoming exec:sh", "-sandbox off", "-kernel x",
        # S2: read as JSON by us, and as a list by QEMU; or told twice.
        '-machine \'{"x,type=virt,dumpdtb=F":null}\'', '-drive \'{"x,if=none,file.driver=nbd":null}\'',
        '-acpitable \'{"x,data=t":null}\'', "-machine pc,accel=kvm,accel=tcg",
        "-device vfio-pci,driver=VGA", "-append x -daemonize", "-pflash x", "-mem-path /tmp", "-dtb x",
        "-netdev socket,id=m,listen=:1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["options", "additions"])
def test_what_leads_out_of_the_machine_is_not(words: str, place: str) -> None:
    """As options, as if the user had given them, and as additions, as if rrdbg had made them."""
    split = shlex.split(words)
    plain = invocation()
    if place == "options":
        bad = replace(plain, options=(*plain.options, *parse_options(split)))
    else:
        bad = replace(plain, additions=(*plain.additions, Addition(tuple(split), "it is needed")))
    with pytest.raises(RecordingError, match="was not made here, and"):
        describe(bad)


@pytest.mark.parametrize(
    "bad",
    [
        replace(invocation(), binary="/tmp/qemu-system-x86_64"),
        replace(invocation(), binary="qemu-system-x86_64/../../tmp/x"),
        replace(invocation(), binary="sh"),
        replace(invocation(), shift="5,rrfile=/etc/shadow"),
        replace(invocation(), chardevs=("x,logfile=/home/user/.bashrc",)),
        replace(invocation(), bundled=(BundledFile("pidfile", "x"),)),
        replace(invocation(), bundled=(BundledFile("kernel", "x", "3/../../../etc/shadow"),)),  # type: ignore[arg-type]
        # S1: only 3 to 9 are free in QEMU, and each for one file.
        replace(invocation(), bundled=(BundledFile("kernel", "x", 12),)),
        replace(invocation(), bundled=(BundledFile("kernel", "x", True),)),
        replace(invocation(), bundled=(BundledFile("kernel", "x", 3, -1),)),
        replace(invocation(), bundled=(BundledFile("kernel", "x", 3), BundledFile("initrd", "y", 3))),
        replace(invocation(), disks=(replace(INSIDE, source="/etc/shadow"),)),
        replace(invocation(), disks=(replace(INSIDE, source="files/../../secret"),)),
        replace(invocation(), disks=(replace(INSIDE, format="vmdk"),)),
        replace(invocation(), disks=(replace(INSIDE, backing="/etc/shadow"),)),
        replace(invocation(), disks=(replace(INSIDE, backing="files/disk-0"),)),
        replace(invocation(), disks=(replace(INSIDE, frontend={"if": "ide", "file": "x"}),)),
        replace(invocation(), disks=(replace(INSIDE, frontend={"if": "ide,file=x"}),)),
        replace(invocation(), disks=(replace(INSIDE, frontend={"if=ide,file": "x"}),)),
        replace(invocation(), disks=(replace(INSIDE, node="x,file.filename=/etc/shadow"),)),
        replace(invocation(), disks=(replace(INSIDE, in_place=True),)),
        replace(invocation(), disks=(replace(INSIDE, backing="/etc/shadow", backing_format="raw"),)),
        replace(invocation(), options=(Option("m", "16M\n-plugin"),)),
        replace(invocation(), options=(Option("no-reboot -plugin x"),)),
    ],
)
def test_nor_is_anything_that_is_pasted_into_the_command(bad: Invocation) -> None:
    with pytest.raises(RecordingError, match="was not made here, and"):
        describe(bad)


READERS = "-device loader,file=rom.bin,addr=0x1000 -fw_cfg name=opt/x,file=y -acpitable sig=ABCD,file=t -smbios file=s"


def test_files_that_lie_in_the_recording_may_be_read() -> None:
    """As rrdbg itself makes such an invocation."""
    made = prepare(["qemu-system-x86_64", *shlex.split(READERS)], shift="1", clock_base="2026-01-01T00:00:00")
    describe(made)
    with pytest.raises(RecordingError, match="was not made here, and"):
        describe(replace(made, bundled=made.bundled[1:]))


@pytest.mark.parametrize(
    "value",
    ["loader,file=/dev/fd/9", "loader,file=/etc/shadow,file=/dev/fd/3", "virtio-net-pci,romfile=x,file=/dev/fd/3"],
)
def test_no_other_file_is_read_beside_them(value: str) -> None:
    made = prepare(["qemu-system-x86_64", *shlex.split(READERS)], shift="1", clock_base="2026-01-01T00:00:00")
    with pytest.raises(RecordingError, match="was not made here, and"):
        describe(replace(made, options=(*made.options, Option("device", value))))


@pytest.mark.parametrize(
    ("words", "written"),
    [
        ("-machine q35,smm=off", "-machine type=q35,smm=off"),
        ("-M virt,accel=tcg", "-M type=virt,accel=tcg"),
        ("-m 1.5G", "-m size=1.5G"),
        ("-boot c", "-boot order=c"),
        ('-device \'{"driver":"VGA","xres":800,"edid":false}\'', "-device driver=VGA,xres=800,edid=off"),
        ("-device VGA,multifunction", "-device driver=VGA,multifunction=on"),
        ("-global PIIX4_PM.disable_s3=1", "-global driver=PIIX4_PM,property=disable_s3,value=1"),
        (
            "-global driver=cfi.pflash01,property=secure,value=on",
            "-global driver=cfi.pflash01,property=secure,value=on",
        ),
        ("-fw_cfg opt/x,string=a,,b", "-fw_cfg name=opt/x,string=a,,b"),
        ("-smbios type=1,manufacturer=A,,B", "-smbios type=1,manufacturer=A,,B"),
        ("-netdev user,id=n", "-netdev type=user,id=n,restrict=on"),
        ("-nic id=n,user,restrict=off,model=pcnet", None),
        ("-nic none", "-nic type=none"),
    ],
)
def test_s2_each_option_is_written_in_the_one_form_that_qemu_reads_in_one_way(words: str, written: str | None) -> None:
    made = invocation()
    asked = replace(made, options=parse_options(shlex.split(words)))
    if written is None:
        with pytest.raises(RecordingError, match="was not made here, and"):
            describe(asked)
    else:
        assert shlex.join(describe(asked).options[0].words()) == written


@pytest.mark.parametrize("value", ["a=1,a=2", "a=1,", ",a=1", "a=1,,,b=2,", "=1", "a b=1", "1a=2", "x,,y"])
def test_s2_a_list_that_could_be_read_in_two_ways_is_not_read(value: str) -> None:
    with pytest.raises(Unreadable):
        read_list(value, "", json=False)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True), st.text(max_size=12), max_size=6))
def test_s2_what_is_written_is_read_as_what_was_meant(properties: dict[str, str]) -> None:
    assert read_list(write_list(properties.items()), "", json=True) == properties


@pytest.mark.parametrize(
    "bundled",
    [
        (BundledFile("kernel", "x", 12),),
        (BundledFile("kernel", "x", 2),),
        (BundledFile("kernel", "x", True),),
        (BundledFile("kernel", "x", 3), BundledFile("initrd", "y", 3)),
        (BundledFile("kernel", "x", 3), BundledFile("kernel", "y", 4)),
        (BundledFile("kernel", "x", 3, -1),),
        (BundledFile("device", "x", None, inside=True),),
        (BundledFile("device", "x", 3, inside=True),),
    ],
)
def test_s1_files_have_numbers_of_their_own_from_3_to_9(bundled: tuple[BundledFile, ...]) -> None:
    with pytest.raises(RecordingError, match="was not made here, and"):
        describe(replace(invocation(), bundled=bundled))


@pytest.mark.parametrize(
    "words",
    [
        "-device isa-serial,chardev=rrdbg-qmp", "-serial chardev:rrdbg-gdb", "-device isa-serial,chardev=c",
        "-device virtio-blk-pci,drive=rrdbg-vmstate", "-device rtl8139,netdev=n", "-netdev user,id=rrdbg-qmp",
        "-object rng-builtin,id=rrdbg-x", "-machine pc,memory-backend=m", "-device virtio-rng-pci,rng=r",
    ],
)  # fmt: skip
def test_what_is_named_is_there_and_none_of_ours(words: str) -> None:
    asked = replace(invocation(), options=parse_options(shlex.split(words)))
    with pytest.raises(RecordingError, match="was not made here, and"):
        describe(asked)


def test_nothing_of_the_host_that_recorded_goes_along() -> None:
    made = replace(invocation("-nographic -name guest"), line=Line())
    assert made.host_options
    assert describe(made).host_options == ()
