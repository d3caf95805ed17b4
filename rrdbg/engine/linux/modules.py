"""Which modules of the kernel's are loaded where a machine stands: read from its own list of them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from rrdbg.engine.linux.tasks import Reads, TaskReader, chained
from rrdbg.errors import UsageError
from rrdbg.model.linux.kallsyms import KernelSymbol, is_name
from rrdbg.model.linux.mapped import Module

_NAME_BYTES = 56
_LONGEST_NAME = 512
_MOST_SECTIONS, _MOST_SYMBOLS = 1024, 100_000
_SYMBOL = struct.Struct("<IBBHQQ")
_GOING, _UNFORMED = 2, 3
_KERNEL_HALF = 1 << 63


def modules_in(memory: Reads, reader: TaskReader) -> list[Module]:
    """The modules, in the order in which they were loaded.

    :raises UsageError: the kernel does not tell how its modules look.
    """
    kernel = reader.kernel
    head, link = kernel.addresses.get("modules"), kernel.offsets.get("module.list")
    if head is None or link is None:
        raise UsageError(f"The guest's kernel {kernel.release} does not tell of its modules.")
    found = (_module(memory, kernel.offsets, place) for place in chained(memory, head, link, with_head=False))
    return [module for module in found if module][::-1]


def _module(memory: Reads, offsets: Mapping[str, int], place: int) -> Module | None:
    state = memory.number(place + offsets["module.state"], 4)
    if state in (None, _GOING, _UNFORMED):
        return None
    base, size = _extent(memory, offsets, place)
    name = _text(memory, place + offsets["module.name"], _NAME_BYTES)
    if not is_name(name):
        return None
    sections = dict(_sections(memory, offsets, place))
    return Module(name, base, size, sections, tuple(_symbols(memory, offsets, place)))


def _extent(memory: Reads, offsets: Mapping[str, int], place: int) -> tuple[int, int]:
    """Where the text of a module lies, and how many bytes it has."""
    if "module.core_layout" in offsets and "module_layout.base" in offsets:
        start, inside = place + offsets["module.core_layout"], "module_layout"
    elif "module.mem" in offsets and "module_memory.base" in offsets:
        # Since Linux 6.4 it has several memories, of which the first is its text.
        start, inside = place + offsets["module.mem"], "module_memory"
    else:
        return 0, 0
    base = memory.number(start + offsets[f"{inside}.base"])
    return base or 0, memory.number(start + offsets[f"{inside}.size"], 4) or 0


def _sections(memory: Reads, offsets: Mapping[str, int], place: int) -> Iterator[tuple[str, int]]:
    """Names and addresses of its sections, as the kernel shows them in /sys/module/NAME/sections."""
    if not {"module.sect_attrs", "module_sect_attr.address", "module_sect_attr.battr"} <= offsets.keys():
        return
    table = memory.number(place + offsets["module.sect_attrs"])
    if not table:
        return
    count = memory.number(table + offsets["module_sect_attrs.nsections"], 4) or 0
    for number in range(min(count, _MOST_SECTIONS)):
        each = table + offsets["module_sect_attrs.attrs"] + number * offsets["module_sect_attr"]
        name = memory.number(each + offsets["module_sect_attr.battr"])
        address = memory.number(each + offsets["module_sect_attr.address"])
        if name and address:
            yield _text(memory, name, _LONGEST_NAME), address


def _symbols(memory: Reads, offsets: Mapping[str, int], place: int) -> Iterator[KernelSymbol]:
    """The symbols that the kernel keeps of a module, where they lie."""
    table = memory.number(place + offsets["module.kallsyms"]) if "module.kallsyms" in offsets else None
    if not table or "mod_kallsyms.symtab" not in offsets:
        return
    entries, texts = (memory.number(table + offsets[f"mod_kallsyms.{name}"]) for name in ("symtab", "strtab"))
    count = memory.number(table + offsets["mod_kallsyms.num_symtab"], 4) or 0
    count = min(count, _MOST_SYMBOLS)
    raw = memory.read(entries or 0, _SYMBOL.size * count)
    # Letters as nm has them stand in a table, before Linux 5.2 in the place of the types.
    own = offsets.get("mod_kallsyms.typetab")
    kinds = memory.read(memory.number(table + own) or 0, count) if own is not None else b""
    for number, (name, info, _, section, value, _) in enumerate(
        _SYMBOL.iter_unpack(raw[: len(raw) - len(raw) % _SYMBOL.size])
    ):
        if section and value & _KERNEL_HALF and name and texts:
            kind = kinds[number] if number < len(kinds) else info
            text = _text(memory, texts + name, _LONGEST_NAME)
            if is_name(text) and chr(kind).isalpha():
                yield KernelSymbol(value, chr(kind), text)


def _text(memory: Reads, address: int, length: int) -> str:
    text = memory.read(address, length).partition(b"\0")[0].decode(errors="replace")
    return "".join(character if character.isprintable() else "?" for character in text)
