"""Which machines' RAM can be mapped from a file."""

from __future__ import annotations

import pytest

from rrdbg.model.machine.invocation import prepare
from rrdbg.model.machine.ram import RamBlock, not_mapped


@pytest.mark.parametrize(
    ("words", "version", "why"),
    [
        ("-m 256M -kernel x", "7.2.22", None),
        ("-m 256M -device virtio-rng-pci", "11.1.2", None),
        ("-device virtio-balloon-pci", "7.2.22", "balloon"),
        ("-device virtio-balloon-pci,free-page-reporting=on", "10.0.13", "balloon"),
        ("-object memory-backend-ram,id=m,size=16M -machine memory-backend=m", "7.2.22", "own -object"),
        ("-numa node", "7.2.22", "-numa"),
        ("-mem-path /tmp/x", "7.2.22", "file of the user"),
        ("-device nvdimm,memdev=m", "10.0.13", "another kind"),
        ("-drive file=x.img,format=raw,if=virtio", "7.2.22", None),
        ("-drive file=x.img,format=raw,if=virtio", "10.0.13", "take up disks"),
        ("-drive file=x.iso,format=raw,media=cdrom", "10.0.13", None),
    ],
)
def test_what_is_mapped(words: str, version: str, why: str | None) -> None:
    invocation = prepare(["qemu-system-x86_64", *words.split()], shift="5", clock_base="2026-01-01T00:00:00")
    found = not_mapped(invocation, version)
    assert (found is None) == (why is None)
    assert why is None or why in str(found)


def test_pages_are_counted() -> None:
    assert RamBlock("pc.ram", 16 << 20).pages == 4096
