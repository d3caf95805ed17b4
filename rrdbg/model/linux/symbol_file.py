"""An ELF file made of a kernel's symbols, for a debugger: addresses and names, without code and without types.

Code and data come from the guest; the sections only say which addresses hold which, since GDB takes a symbol's kind
from its section. Names are those of :mod:`rrdbg.model.linux.kallsyms`, which lets no other characters through.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from rrdbg.model.linux.kallsyms import Kallsyms, KernelSymbol

ELF_MACHINES = {"x86_64": 62, "aarch64": 183, "riscv64": 243}
"""``e_machine`` by QEMU's name of the architecture."""

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_IDENT = b"\x7fELF\x02\x01\x01" + bytes(9)
_EXECUTABLE, _CURRENT = 2, 1
_PROGBITS, _SYMTAB, _STRTAB, _NOBITS = 1, 2, 3, 8
_WRITE, _ALLOC, _CODE = 1, 2, 4
_ABSOLUTE = 0xFFF1
_OBJECT, _FUNCTION = 1, 2
_GLOBAL = 1
_KERNEL_HALF = 1 << 63
_NAMES = b"\0.text\0.data\0.symtab\0.strtab\0.shstrtab\0.debug_frame\0"
_MOST_SECTIONS = 8192
_64_BITS = (1 << 64) - 1


@dataclass(slots=True)
class _Stretch:
    """Neighbouring symbols of one kind, which make a section."""

    is_code: bool
    symbols: list[KernelSymbol] = field(default_factory=list)


def make_symbol_file(kallsyms: Kallsyms, architecture: str, frames: bytes = b"") -> bytes:
    """The ELF file for a guest of ``architecture``, as QEMU calls it; ``frames`` is a ``.debug_frame``, or empty."""
    stretches, absolute = _parted(kallsyms.symbols)
    texts, symbols = bytearray(b"\0"), bytearray(_SYMBOL.size)
    sections = []
    for number, stretch in enumerate(stretches, 1):
        start = stretch.symbols[0].address
        end = stretches[number].symbols[0].address if number < len(stretches) else stretch.symbols[-1].address + 16
        sections.append((stretch.is_code, start, min(end, _64_BITS) - start))
        for symbol, following in zip(
            stretch.symbols, [*(each.address for each in stretch.symbols[1:]), end], strict=True
        ):
            symbols += _symbol(texts, symbol, number, following - symbol.address)
    for symbol in absolute:
        symbols += _symbol(texts, symbol, _ABSOLUTE, 0)
    return _file(ELF_MACHINES[architecture], sections, bytes(symbols), bytes(texts), frames)


def make_frames_file(frames: bytes, architecture: str) -> bytes:
    """An ELF file with nothing but the ``.debug_frame`` ``frames``, for a guest of ``architecture``."""
    return _file(ELF_MACHINES[architecture], (), bytes(_SYMBOL.size), b"\0", frames)


def _parted(symbols: Sequence[KernelSymbol]) -> tuple[list[_Stretch], list[KernelSymbol]]:
    """The kernel's own symbols by stretches, and those that are no addresses."""
    stretches: list[_Stretch] = []
    absolute = []
    for symbol in symbols:
        if symbol.address < _KERNEL_HALF:
            absolute.append(symbol)
            continue
        if not stretches or (stretches[-1].is_code != symbol.is_code and _may_part(stretches, symbol)):
            stretches.append(_Stretch(symbol.is_code))
        stretches[-1].symbols.append(symbol)
    return stretches, absolute


def _may_part(stretches: list[_Stretch], symbol: KernelSymbol) -> bool:
    """A section holds at least a byte, and there are not too many."""
    return stretches[-1].symbols[-1].address < symbol.address and len(stretches) < _MOST_SECTIONS


def _symbol(texts: bytearray, symbol: KernelSymbol, section: int, size: int) -> bytes:
    name = len(texts)
    texts += symbol.name.encode() + b"\0"
    binding = _GLOBAL if symbol.kind.isupper() else 0
    kind = _FUNCTION if symbol.is_code else _OBJECT
    return _SYMBOL.pack(name, binding << 4 | kind, 0, section, symbol.address, size)


def _file(
    machine: int, sections: Sequence[tuple[bool, int, int]], symbols: bytes, texts: bytes, frames: bytes
) -> bytes:
    headers = bytearray(_SECTION.size)
    for is_code, start, size in sections:
        flags = _ALLOC | (_CODE if is_code else _WRITE)
        headers += _SECTION.pack(
            _NAMES.index(b".text" if is_code else b".data"), _NOBITS, flags, start, 0, size, 0, 0, 16, 0
        )
    place = _HEADER.size
    count = len(sections)
    # The links: the symbols' texts lie in the section behind them.
    tables = ((b".symtab", _SYMTAB, symbols, count + 2, 1, 24), (b".strtab", _STRTAB, texts, 0, 0, 0))
    body = bytearray()
    described = ((b".debug_frame", _PROGBITS, frames, 0, 0, 0),) if frames else ()
    for name, kind, content, link, first, size in (*tables, *described, (b".shstrtab", _STRTAB, _NAMES, 0, 0, 0)):
        headers += _SECTION.pack(
            _NAMES.index(name + b"\0"), kind, 0, 0, place + len(body), len(content), link, first, 8, size
        )
        body += content + bytes(-len(content) % 8)
    header = _HEADER.pack(
        _IDENT, _EXECUTABLE, machine, _CURRENT, 0, 0, place + len(body), 0, _HEADER.size, 0, 0,
        _SECTION.size, count + 4 + len(described), count + 3 + len(described),
    )  # fmt: skip
    return header + bytes(body) + bytes(headers)
