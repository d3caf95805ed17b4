from __future__ import annotations

import itertools
import re

import pytest

from rrdbg.errors import UsageError
from rrdbg.model.machine.drives import Disk
from rrdbg.model.machine.invocation import Invocation, prepare
from rrdbg.model.machine.options import Option, format_properties, parse_options, parse_properties, words_of


def prepared(*arguments: str, binary: str = "qemu-system-x86_64", shift: str = "5") -> Invocation:
    return prepare((binary, *arguments), shift=shift, clock_base="2026-01-01T00:00:00")


def added(invocation: Invocation) -> list[str]:
    return [" ".join(addition.words) for addition in invocation.additions]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-smp", "2"), ("-smp", "cpus=4"), ("-smp", "sockets=1,cores=2"), ("-smp", "x"), ("-snapshot",),
        ("-enable-kvm",),
        ("-accel", "kvm"), ("-accel", "tcg,thread=multi"), ("-M", "q35,accel=kvm"), ("-machine", "accel=hvf:tcg"),
        ("-icount", "1"), ("-daemonize",), ("-S",), ("-s",), ("-gdb", "tcp::1234"), ("-loadvm", "x"),
        ("-incoming", "x"),
        ("-blockdev", "x"), ("-blockdev", "nbd,node-name=n"), ("-blockdev", "raw,node-name=n,file=m"),
        ("-blockdev", "raw,node-name=n,file.driver=file,offset=512"), ("-device", "sd-card,drive=d"),
        ("-device", "usb-storage,drive=d"), ("-drive", "driver=blkreplay,image=nowhere"),
        ("-sd", "x"), ("-mtdblock", "x"), ("-net", "user"),
        ("-netdev", "user"), ("-net", "nic"), ("-device", "e1000,netdev=n"), ("-nic", "user,model=e1000e"),
        ("-device", '{"driver": "e1000-82545em"}'), ("-device", "{"),
        ("-drive", "file=x,snapshot=on"), ("-drive", "if=ide"),
        ("-drive", "file=x,if=sd"), ("-rtc", "clock=host"), ("-cpu", "host,+x2apic"), ("-machine", "smp.cpus=2"),
        ("-netdev", "vhost-user,id=n,chardev=c"), ("-netdev", "tap,id=n,vhost=on"),
    ],
)  # fmt: skip
def test_what_cannot_be_replayed_is_refused_with_a_reason(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as refusal:
        prepared(*arguments)
    assert len(str(refusal.value)) > 30


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        pytest.param(("-M", "isapc", "-vga", "cirrus"), "use -vga std", id="F8-isapc"),
        pytest.param(("-nodefaults", "-device", "isa-cirrus-vga"), "aborts QEMU", id="F8-cirrus"),
        pytest.param(
            ("-object", "memory-backend-file,id=r,size=16M,mem-path=ram,share=on"), "leave share=on out", id="F10"
        ),
        pytest.param(("-virtfs", "local,path=/tmp,mount_tag=x,security_model=none"), "initramfs", id="F11-virtfs"),
        pytest.param(("-fsdev", "local,id=f,path=/tmp,security_model=none"), "initramfs", id="F11-fsdev"),
        pytest.param(("-device", "virtio-9p-pci,fsdev=f,mount_tag=x"), "initramfs", id="F11-9p"),
        pytest.param(("-device", "vhost-user-fs-pci,chardev=c,tag=x"), "initramfs", id="F11-vhost-user-fs"),
        pytest.param(("-device", "vhost-vsock-pci,guest-cid=3"), "virtio-serial-pci", id="F11-vsock"),
        pytest.param(("-device", "usb-ehci"), "piix3-usb-uhci", id="F12-ehci"),
        pytest.param(("-M", "q35", "-usb"), "leave -usb out", id="F12-q35"),
        pytest.param(("-M", "q35,usb=on"), "leave -usb out", id="F12-q35-machine"),
        pytest.param(("-usb", "-device", "usb-kbd"), "virtio-keyboard-pci", id="F12-kbd"),
        pytest.param(("-device", "usb-tablet", "-device", "qemu-xhci"), "with a USB device", id="F12-xhci"),
        pytest.param(("-device", "usb-host,vendorid=1"), "belongs to the host", id="F12-host"),
    ],
)
def test_devices_that_do_not_replay_are_refused_by_name(arguments: tuple[str, ...], why: str) -> None:
    with pytest.raises(UsageError, match=re.escape(why)):
        prepared(*arguments)


@pytest.mark.parametrize(
    ("binary", "board", "why"),
    [
        ("ppc64", (), "mac99"),
        ("ppc64", ("-M", "pseries-7.2"), "random"),
        ("aarch64", ("-M", "raspi3b"), "raspi0"),
        ("arm", ("-M", "lm3s6965evb"), "SD card"),
        ("mipsel", (), "gdbstub does not describe"),
        ("s390x", (), "another state once a snapshot was loaded"),
    ],
)
def test_f8_f13_boards_that_do_not_replay_are_refused_by_name(binary: str, board: tuple[str, ...], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        prepared(*board, binary=f"qemu-system-{binary}")


def test_f8_an_old_pc_is_given_the_card_that_comes_back() -> None:
    assert "-vga std" in added(prepared("-M", "isapc"))
    assert "-vga std" not in added(prepared("-M", "isapc", "-vga", "none"))
    assert "-vga std" not in added(prepared("-M", "isapc", "-nodefaults"))
    prepared("-device", "qemu-xhci")


def test_f7_replays_have_nothing_of_the_hosts() -> None:
    """No forwarded or listening port, no tap; the guest's cards stay, each on a hub of its own."""
    recorded = prepared(
        *("-netdev", "user,id=n,hostfwd=tcp::10023-:22", "-device", "virtio-net-pci,netdev=n"),
        *("-nic", "tap,mac=52:54:00:00:00:01,ifname=t0", "-nic", "none", "-chardev", "socket,id=c,port=1,server=on"),
        *("-serial", "pty", "-D", "qemu.log"),
    )
    words = " ".join(recorded.machine_words())
    assert "hostfwd=tcp::10023-:22" in words
    assert "ifname=t0" in words
    assert "vnet_hdr=off" in words
    replayed = recorded.without_host()
    words = " ".join([*replayed.machine_words(), *words_of(replayed.host_options)])
    assert "-netdev user,id=n,restrict=on" in words
    assert "-device virtio-net-pci,netdev=n" in words
    assert "-nic hubport,hubid=1,mac=52:54:00:00:00:01,id=rrdbg-nic2,model=virtio-net-pci" in words
    assert "-chardev null,id=c -display none" in words
    assert not re.search(r"hostfwd|tap|t0|port=1|qemu\.log", words)
    assert not replayed.line.types
    assert replayed.without_host() == replayed


@pytest.mark.parametrize("shift", ["11", "-1", "x", ""])
def test_a_bad_shift_is_refused(shift: str) -> None:
    with pytest.raises(UsageError, match="--shift"):
        prepared(shift=shift)


def test_what_is_added_to_a_pc() -> None:
    assert added(prepared()) == [
        "-rtc base=2026-01-01T00:00:00,clock=vm",
        "-no-shutdown",
        "-machine hpet=off",
        "-global apic-common.vapic=off",
        "-nic none",
        "-serial chardev:rrdbg-console",
        "-monitor none",
    ]


def test_a_machine_without_hpet_is_not_given_the_flag() -> None:
    assert "-machine hpet=off" not in added(prepared("-M", "microvm"))
    assert "-machine hpet=off" in added(prepared("-machine", "q35"))
    assert not any("hpet" in words or "apic" in words for words in added(prepared(binary="qemu-system-aarch64")))


def test_the_users_clock_is_kept() -> None:
    assert "-rtc base=2020-02-02,clock=vm" in added(prepared("-rtc", "base=2020-02-02"))
    assert "-rtc base=2026-01-01T00:00:00,clock=vm" in added(prepared("-rtc", "base=utc"))


def test_disks_are_taken_out() -> None:
    invocation = prepared(
        "disk.img", "-hdb", "b.img", "-cdrom", "c.iso", "-drive", "file=d.img,if=virtio,format=raw,id=d"
    )
    assert [(disk.source, disk.read_only) for disk in invocation.disks] == [
        ("disk.img", False), ("b.img", False), ("c.iso", True), ("d.img", False),
    ]  # fmt: skip
    assert invocation.disks[3].frontend == {"if": "virtio", "id": "d"}
    assert invocation.disks[3].format == "raw"
    assert not invocation.options


def disk_of(*arguments: str) -> Disk:
    (disk,) = prepared(*arguments).disks
    return disk


def test_a_graph_of_block_nodes_is_followed_to_its_image() -> None:
    inside = "node-name=top,driver=qcow2,file.driver=file,file.filename=a,,b.qcow2,read-only=on"
    assert disk_of("-blockdev", inside) == Disk("a,b.qcow2", "qcow2", True, {}, node="top")
    json = '{"node-name": "top", "driver": "vmdk", "file": {"driver": "file", "filename": "d.vmdk"}}'
    assert disk_of("-blockdev", json) == Disk("d.vmdk", "vmdk", False, {}, node="top")
    nodes = (
        "driver=file,filename=low,node-name=l",
        "qcow2,node-name=top,file=f,backing=l",
        "file,filename=f,node-name=f",
    )
    found = disk_of(*(word for node in nodes for word in ("-blockdev", node)))
    assert found == Disk("f", "qcow2", False, {}, node="top", backing="low", backing_format="raw")
    own = ("-blockdev", "file,filename=x,node-name=x", "-blockdev", "blkreplay,image=x,node-name=top")
    assert disk_of(*own) == Disk("x", "raw", False, {}, node="top")


def test_a_blkreplay_of_the_users_is_taken_for_ours() -> None:
    words = ("-drive", "file=d.img,if=none,id=direct", "-drive", "driver=blkreplay,if=none,image=direct,id=replayed")
    assert disk_of(*words) == Disk("d.img", None, False, {"if": "none", "id": "replayed"})


def test_what_the_cpu_waits_for_is_known() -> None:
    assert disk_of("-fda", "x").waits
    assert disk_of("-pflash", "x").waits
    assert disk_of("-drive", "file=x,if=none,id=f", "-device", "floppy,drive=f").waits
    assert disk_of("-blockdev", "file,filename=x,node-name=f", "-machine", "pflash1=f").waits
    assert not disk_of("-drive", "file=x,if=none,id=f", "-device", "ide-hd,drive=f").waits


def test_a_drive_without_a_medium_is_left_alone() -> None:
    assert prepared("-drive", "if=ide,media=cdrom").options == (Option("drive", "if=ide,media=cdrom"),)


def test_the_console_is_captured_unless_there_is_none() -> None:
    assert "-serial chardev:rrdbg-console" in added(prepared("-nographic"))
    assert "-serial chardev:rrdbg-console" in added(prepared("-serial", "mon:stdio"))
    without = prepared("-serial", "none")
    assert "-serial chardev:rrdbg-console" not in added(without)
    assert "-serial none" in added(without)


@pytest.mark.parametrize(
    ("words", "ports", "kind", "path"),
    [
        ("-nographic", "chardev:rrdbg-console", "stdio", ""),
        ("-nographic -serial mon:stdio", "chardev:rrdbg-console", "stdio", ""),
        ("-serial mon:stdio -nographic", "chardev:rrdbg-console", "stdio", ""),
        ("-nographic -serial file:x", "chardev:rrdbg-console", "file", "x"),
        ("-nographic -serial none", "none", "none", ""),
        ("-serial null -serial stdio", "null chardev:rrdbg-console", "stdio", ""),
        ("-serial stdio -serial null", "chardev:rrdbg-console null", "stdio", ""),
        ("-serial none -serial stdio", "none chardev:rrdbg-console", "stdio", ""),
        ("-serial file:a,b -serial stdio", "chardev:serial0 chardev:rrdbg-console", "stdio", ""),
        ("-serial file:a -serial file:b", "chardev:rrdbg-console chardev:serial1", "file", "a"),
        ("-serial null -serial null", "chardev:rrdbg-console null", "none", ""),
        ("-serial vc -serial unix:s", "vc chardev:rrdbg-console", "unix", "s"),
        ("-chardev file,id=f,path=y -serial chardev:f -serial pty", "chardev:f chardev:rrdbg-console", "pty", ""),
    ],
)
def test_f6_serial_ports_in_all_their_common_orders(words: str, ports: str, kind: str, path: str) -> None:
    """QEMU's ``-nographic`` makes a port of its own only where no ``-serial`` is given."""
    invocation = prepared(*words.split())
    machine = invocation.machine_words()
    given = [value for name, value in itertools.pairwise(machine) if name == "-serial"]
    assert given == ports.split()
    assert (invocation.line.kind, invocation.line.path) == (kind, path)
    for name in invocation.chardevs:
        assert f"null,id={name}" in words_of(invocation.without_host().host_options)


def test_f17_a_monitor_and_a_debug_port_may_share_the_console() -> None:
    shared = prepared(
        *("-chardev", "stdio,id=c,mux=on", "-serial", "chardev:c", "-mon", "chardev=c,mode=readline"),
        *("-device", "isa-debugcon,iobase=0x402,chardev=c"),
    )
    words = [*shared.machine_words(), *words_of(shared.host_options)]
    assert "-mon" not in words
    assert "driver=isa-debugcon,iobase=0x402,chardev=rrdbg-console" in words
    assert "id=c" not in " ".join(words)
    assert shared.shares_console
    assert not shared.line.types
    alone = prepared("-chardev", "stdio,id=c,mux=on", "-serial", "chardev:c", "-mon", "c")
    assert "-mon" not in words_of(alone.host_options)
    assert alone.line.types
    other = prepared("-chardev", "stdio,id=c", "-chardev", "socket,id=m,path=x", "-serial", "chardev:c", "-mon", "m")
    assert "-mon" in words_of(other.host_options)


def test_f15_the_users_files_are_the_recordings_alone() -> None:
    traced = prepared("-trace", "enable=serial*,file=tr.log", "-debugcon", "file:d.log", "-parallel", "file:p.log")
    assert "file=tr.log" in " ".join(words_of(traced.host_options))
    replayed = traced.without_host()
    assert ".log" not in " ".join([*replayed.machine_words(), *words_of(replayed.host_options)])
    assert "-debugcon null -parallel null" in " ".join(replayed.machine_words())


def test_networks_are_recorded() -> None:
    assert "-object qom-type=filter-replay,id=rrdbg-net1,netdev=n" in added(prepared("-netdev", "user,id=n"))
    assert "-nic none" not in added(prepared("-netdev", "user,id=n"))


def test_a_network_without_an_id_is_given_one() -> None:
    invocation = prepared("-nic", "user,model=virtio-net-pci", "-nic", "vde,id=t,model=rtl8139")
    assert invocation.options == (Option("nic", "vde,id=t,model=rtl8139"),)
    assert added(invocation)[-6:-3] == [
        "-nic user,model=virtio-net-pci,id=rrdbg-nic1",
        "-object qom-type=filter-replay,id=rrdbg-net1,netdev=rrdbg-nic1",
        "-object qom-type=filter-replay,id=rrdbg-net2,netdev=t",
    ]


def test_a_virtio_card_is_made_exact() -> None:
    flags = "-global virtio-net-device.tx=timer -global virtio-net-device.x-txtimer=1"
    flags += " -global virtio-net-device.guest_announce=off"
    assert flags in added(prepared("-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n"))
    assert flags in added(prepared("-nic", "user"))
    assert flags not in added(prepared("-nic", "user,model=rtl8139"))


def test_the_default_card_is_replaced_where_it_cannot_be_replayed() -> None:
    assert "-nic user,id=rrdbg-nic1,model=virtio-net-pci" in added(prepared("-nic", "user"))
    assert "-nic user,id=rrdbg-nic1" in added(prepared("-nic", "user", binary="qemu-system-aarch64"))


def test_the_old_way_to_give_a_network_becomes_the_new_one() -> None:
    invocation = prepared("-net", "nic,model=rtl8139,macaddr=52:54:00:00:00:01", "-net", "user,restrict=on")
    assert "-nic user,model=rtl8139,mac=52:54:00:00:00:01,restrict=on,id=rrdbg-nic1" in added(invocation)
    assert prepared("-net", "none").options == (Option("nic", "none"),)


def test_reboots() -> None:
    assert prepared().reboots
    assert not prepared("-no-reboot").reboots
    assert not prepared("-action", "reboot=shutdown").reboots


def test_options_are_read_and_written() -> None:
    words = ("-m", "16", "-nodefaults", "--kernel", "k", "disk")
    options = parse_options(words)
    assert options == (Option("m", "16"), Option("nodefaults"), Option("kernel", "k"), Option("hda", "disk"))
    assert words_of(options) == ("-m", "16", "-nodefaults", "-kernel", "k", "-hda", "disk")
    with pytest.raises(UsageError, match="needs an argument"):
        parse_options(["-m"])


def test_properties_keep_their_commas() -> None:
    assert parse_properties("a,,b,x=1,flag", "file") == {"file": "a,b", "x": "1", "flag": "on"}
    assert format_properties({"file": "a,b", "x": "1"}) == "file=a,,b,x=1"


def test_files_inside_of_options_are_opened_by_number() -> None:
    made = prepared(
        "-kernel", "k", "-device", "loader,file=a,,b.bin,addr=0x1000", "-fw_cfg", "opt/x,file=y", "-device", "edu",
        "-device", "loader,addr=4,data=1,data-len=4", "-fw_cfg", "name=opt/z,string=file=1",
    )  # fmt: skip
    assert words_of(made.options) == (
        "-device", "driver=loader,file=/dev/fd/4,addr=0x1000", "-fw_cfg", "name=opt/x,file=/dev/fd/5", "-device", "edu",
        "-device", "loader,addr=4,data=1,data-len=4", "-fw_cfg", "name=opt/z,string=file=1",
    )  # fmt: skip
    assert [(file.name, file.source, file.fd) for file in made.bundled] == [
        ("kernel", "k", 3), ("device-4", "a,b.bin", 4), ("fw_cfg-5", "y", 5)
    ]  # fmt: skip


def test_f5_semihosting_is_qemus_to_answer_and_goes_to_the_console() -> None:
    plain = prepared("-semihosting", "-nographic", binary="qemu-system-arm")
    assert "-semihosting-config chardev=rrdbg-console,enable=on,target=native" in added(plain)
    assert plain.shares_console
    assert not plain.line.types
    told = prepared("-semihosting-config", "on,arg=a,arg=b,target=auto", binary="qemu-system-arm")
    assert "-semihosting-config chardev=rrdbg-console,arg=a,arg=b,target=auto,enable=on,target=native" in added(told)
    own = prepared(
        *("-chardev", "file,id=c,path=x", "-semihosting-config", "enable=on,chardev=c"), binary="qemu-system-arm"
    )
    assert not own.shares_console
    assert not prepared("-semihosting-config", "enable=off", binary="qemu-system-arm").shares_console
    with pytest.raises(UsageError, match="target=gdb"):
        prepared("-semihosting-config", "enable=on,target=gdb", binary="qemu-system-arm")


@pytest.mark.parametrize(
    ("given", "path", "image_format"),
    [
        ("file:b.img", "b.img", None),
        ("./a:b.img", "./a:b.img", None),
        ('json:{"driver":"qcow2","file":{"driver":"file","filename":"b.img"}}', "b.img", "qcow2"),
        ('json:{"driver":"raw","file.filename":"b.img"}', "b.img", "raw"),
        ('json:{"driver":"file","filename":"b.img"}', "b.img", None),
    ],
)
def test_f16_names_of_images_are_read_as_qemu_reads_them(given: str, path: str, image_format: str | None) -> None:
    (disk,) = prepared("-hda", given).disks
    assert (disk.source, disk.format) == (path, image_format)
    (disk,) = prepared("-drive", f"if=virtio,file={given.replace(',', ',,')}").disks
    assert (disk.source, disk.format) == (path, image_format)


@pytest.mark.parametrize(
    ("given", "way"),
    [
        ("fat:rw:esp", "qemu-img convert -O raw fat:esp IMAGE"),
        ("nbd:localhost:10809", "qemu-img convert -O qcow2 nbd:localhost:10809 IMAGE"),
        ('json:{"driver":"nbd","host":"x"}', "file=PATH"),
        ('json:{"driver":"raw","offset":512,"file.filename":"b.img"}', "-blockdev"),
    ],
)
def test_f16_images_that_are_no_files_are_refused_with_the_way_to_make_one(given: str, way: str) -> None:
    with pytest.raises(UsageError, match=re.escape(way)):
        prepared("-hda", given)
