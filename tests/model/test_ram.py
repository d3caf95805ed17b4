"""Which machines' RAM can be mapped from a file."""

from __future__ import annotations

import pytest

from rrdbg.model.machine.invocation import prepare
from rrdbg.model.machine.ram import RamBlock, not_mapped


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("-m 256M -kernel x", None),
        ("-m 256M -device virtio-rng-pci", None),
        ("-device virtio-balloon-pci", "balloon"),
        ("-device virtio-balloon-pci,free-page-reporting=on", "balloon"),
        ("-object memory-backend-ram,id=m,size=16M -machine memory-backend=m", "own -object"),
        ("-numa node", "-numa"),
        ("-mem-path /tmp/x", "file of the user"),
        ("-device nvdimm,memdev=m", "another kind"),
        ("-drive file=x.img,format=raw,if=virtio", None),
        ("-drive file=x.iso,format=raw,media=cdrom", None),
    ],
)
def test_what_is_mapped(words: str, why: str | None) -> None:
    invocation = prepare(["qemu-system-x86_64", *words.split()], shift="5", clock_base="2026-01-01T00:00:00")
    found = not_mapped(invocation)
    assert (found is None) == (why is None)
    assert why is None or why in str(found)


def test_pages_are_counted() -> None:
    assert RamBlock("pc.ram", 16 << 20).pages == 4096
