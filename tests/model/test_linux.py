"""Reading a kernel's tables, written here as the kernel's build does."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from rrdbg.links.elf import read_kernel_file
from rrdbg.model.linux.btf import Btf
from rrdbg.model.linux.kallsyms import Kallsyms, KernelSymbol, read_kallsyms
from rrdbg.model.linux.kernel import build_id_in, is_linux_image
from rrdbg.model.linux.paging import Stretch, aarch64_paging, riscv_paging, x86_paging
from rrdbg.model.linux.symbol_file import make_symbol_file
from rrdbg.model.linux.task import Mode, mode_of, read_comm, state_letter

_BASE = 0xFFFFFFFF9A000000
_COUNT = 5_000


def symbols(*, percpu: bool) -> list[KernelSymbol]:
    low = [KernelSymbol(0x40 * number, "D", f"percpu_{number}") for number in range(50 if percpu else 0)]
    return low + [KernelSymbol(_BASE + 16 * number, "Tt"[number % 2], f"function_{number}") for number in range(_COUNT)]


def compressed(texts: Sequence[str]) -> tuple[bytes, bytes, bytes, bytes]:
    """The names, markers, tokens and their index; the tokens are those characters that occur, and a long one."""
    tokens = [chr(byte) if chr(byte) in "".join(texts) else "" for byte in range(256)]
    tokens[200], tokens[201] = "function_", "percpu_"
    names, markers = bytearray(), []
    for number, text in enumerate(texts):
        if number % 256 == 0:
            markers.append(len(names))
        short = text.replace("function_", "\xc8").replace("percpu_", "\xc9").encode("latin-1")
        names += bytes([len(short)]) + short
    table = "".join(f"{token}\0" for token in tokens).encode("latin-1")
    places = [sum(len(token) + 1 for token in tokens[:number]) for number in range(256)]
    return bytes(names), struct.pack(f"<{len(markers)}I", *markers), table, struct.pack("<256H", *places)


def image(listed: Sequence[KernelSymbol], layout: str) -> bytes:
    """The tables in the order of Linux 6.1, 6.4 or 7.2, with other things before and behind."""
    names, markers, table, index = compressed([symbol.kind + symbol.name for symbol in listed])
    body = bytearray(b"\x5a" * 4096)

    def put(part: bytes, align: int = 8) -> int:
        body.extend(bytes(-len(body) % align))
        body.extend(part)
        return len(body) - len(part)

    absolute = listed[0].address < 1 << 63
    offsets = struct.pack(
        f"<{len(listed)}i",
        *(
            symbol.address
            if symbol.address < 1 << 63
            else _BASE - 1 - symbol.address
            if absolute
            else symbol.address - _BASE
            for symbol in listed
        ),
    )
    if layout == "6.1":
        put(offsets)
        put(struct.pack("<Q", _BASE))
    put(struct.pack("<I", len(listed)), 4 if layout == "7.2" else 8)
    put(names, 4 if layout == "7.2" else 8)
    put(markers, 4)
    put(table, 1)
    put(index, 4)
    if layout == "6.4":
        put(offsets)
        put(struct.pack("<Q", _BASE))
    if layout == "7.2":
        place = put(b"", 4)
        start = _BASE - 0x10_0000
        put(struct.pack(f"<{len(listed)}i", *(s.address - (start + place + 4 * n) for n, s in enumerate(listed))), 4)
    return bytes(body + b"\x5a" * 4096)


@pytest.mark.parametrize(
    ("layout", "percpu"), [("6.1", True), ("6.1", False), ("6.4", True), ("6.4", False), ("7.2", False)]
)
def test_kallsyms_of_each_layout(layout: str, *, percpu: bool) -> None:
    listed = symbols(percpu=percpu)
    found = read_kallsyms(image(listed, layout), _BASE - 0x10_0000)
    assert found
    assert found.symbols == listed
    assert found.address("function_17") == _BASE + 16 * 17
    assert found.at(_BASE + 16 * 17 + 3) == listed[17 + 50 * percpu]


def test_a_damaged_table_is_none() -> None:
    whole = image(symbols(percpu=True), "6.1")
    assert read_kallsyms(whole[: len(whole) // 2], 0) is None
    for place in range(4096, len(whole), 9973):
        damaged = bytearray(whole)
        damaged[place : place + 64] = b"\xff" * 64
        found = read_kallsyms(bytes(damaged), 0)
        assert found is None or all(symbol.name.replace("_", "").isalnum() for symbol in found.symbols)


def test_names_that_no_linker_makes_are_left_out() -> None:
    listed = symbols(percpu=False)
    listed[7] = KernelSymbol(listed[7].address, "T", "\x1b[31mred; shell")
    found = read_kallsyms(image(listed, "6.4"), 0)
    assert found
    assert len(found) == len(listed) - 1


def test_the_symbol_file_has_what_it_was_made_of(tmp_path: Path) -> None:
    listed = [*symbols(percpu=True), KernelSymbol(_BASE + 16 * _COUNT, "D", "data")]
    path = tmp_path / "kernel.elf"
    path.write_bytes(make_symbol_file(Kallsyms(listed), "x86_64"))
    assert read_kernel_file(path).addresses == {symbol.name: symbol.address for symbol in listed}


def test_page_tables_of_each_processor() -> None:
    """One page and one large page beside it, by four, three and four levels."""
    size = 4096

    def walked(paging_levels: int, paging: object, leaf: int, large: int, table: int, shift: int) -> list[Stretch]:
        memory: dict[int, bytearray] = {}

        def put(place: int, number: int, entry: int) -> None:
            memory.setdefault(place, bytearray(size))[8 * number : 8 * number + 8] = entry.to_bytes(8, "little")

        def led(place: int, flags: int) -> int:
            return (place >> 12 << 10 if shift else place) | flags

        for level in range(paging_levels, 2, -1):
            put(0x1000 * level, 511, led(0x1000 * (level - 1), table))
        put(0x2000, 510, led(0x1000, table))
        put(0x1000, 511, led(0x7000, leaf))
        put(0x2000, 511, led(0x80_0000, large))
        read = lambda place, length: bytes(memory.get(place, b""))[:length]  # noqa: E731
        return list(paging.stretches(read, 0x1000 * paging_levels, 1 << 63, 1 << 64))  # type: ignore[attr-defined]

    expected = [Stretch((1 << 64) - 0x20_1000, 0x7000, size), Stretch((1 << 64) - 0x20_0000, 0x80_0000, 0x20_0000)]
    assert walked(4, x86_paging(five_levels=False), 1, 0x81, 1, 0) == expected
    assert walked(3, riscv_paging(8), 0xF, 0xF, 1, 1) == expected
    assert walked(4, aarch64_paging(16 << 16 | 0b10 << 30), 3, 1, 3, 0) == expected
    assert riscv_paging(0) is None
    assert aarch64_paging(0) is None


def test_tables_that_lead_to_themselves_end() -> None:
    table = (0x1000 | 1).to_bytes(8, "little") * 512
    found = list(x86_paging(five_levels=False).stretches(lambda place, length: table, 0x1000, 1 << 63, 1 << 64))
    assert found


def test_btf_members_also_of_unnamed_structures() -> None:
    texts = b"\0task\0pid\0inner\0count\0word\0"

    def name(text: bytes) -> int:
        return texts.index(b"\0" + text + b"\0") + 1

    def structure(label: int, size: int, members: Sequence[tuple[int, int, int]], kind: int = 4) -> bytes:
        head = struct.pack("<III", label, kind << 24 | len(members), size)
        return head + b"".join(struct.pack("<III", *member) for member in members)

    types = struct.pack("<IIII", name(b"word"), 1 << 24, 4, 32)
    types += structure(0, 8, [(name(b"count"), 1, 32)], kind=5)
    types += struct.pack("<III", name(b"inner"), 8 << 24, 2)
    types += structure(name(b"task"), 64, [(name(b"pid"), 1, 64), (0, 3, 128), (name(b"inner"), 3, 256)])
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(texts))
    btf = Btf.read(header + types + texts)
    assert btf
    assert [btf.offset(path) for path in ("task.pid", "task.count", "task.inner.count", "task")] == [8, 20, 36, 64]
    assert [btf.offset(path) for path in ("task.none", "none.pid", "task.pid.count")] == [None, None, None]
    assert Btf.read(b"\0" * 64) is None
    assert Btf.read((header + types + texts)[:-3]) is None


def test_small_things() -> None:
    notes = (
        struct.pack("<III4s4s", 4, 4, 1, b"XEN\0", b"abcd") + struct.pack("<III4s", 4, 20, 3, b"GNU\0") + b"\xab" * 20
    )
    assert build_id_in(notes) == "ab" * 20
    assert build_id_in(notes[:20]) == ""
    assert is_linux_image(bytes(0x202) + b"HdrS" + bytes(1024))
    assert not is_linux_image(bytes(2048))
    assert mode_of(user=True, preempt_count=0) is Mode.USER
    assert [mode_of(user=False, preempt_count=count) for count in (2, 0x200, 0x100, 0x10000)] == [
        Mode.KERNEL, Mode.KERNEL, Mode.INTERRUPT, Mode.INTERRUPT,
    ]  # fmt: skip
    assert read_comm(b"a\x1b[0mb\0junk") == "a?[0mb"
    assert [state_letter(*state) for state in ((0, 0), (1, 0), (0x402, 0), (0, 32), (0, 16))] == [
        "R",
        "S",
        "I",
        "Z",
        "X",
    ]
