"""The ``x`` command: memory in GDB's formats."""

from __future__ import annotations

import re

from rrdbg.commands.arguments import read_address
from rrdbg.commands.registry import Category, Registry, Takes
from rrdbg.commands.session import Session
from rrdbg.errors import RspError, UsageError
from rrdbg.model.results import Memory, MemoryRow, Result

EXAMINE = Registry()

_FORMAT = re.compile(r"(?P<count>\d*)(?P<letters>[a-z]*)")
_SIZES = {"b": 1, "h": 2, "w": 4, "g": 8}
_PER_ROW = {1: 8, 2: 8, 4: 4, 8: 2}
_MOST = 65536
_STRING_BYTES = 200


@EXAMINE.command(
    "x", Category.DATA, "Examine memory.",
    arguments="[/FMT] ADDRESS", repeats=True,
    details="FMT is a count, a letter for the format and a letter for the size, as in GDB: x hexadecimal, "
    "d decimal, u unsigned, o octal, t binary, a address, c character, s string, i instruction; b 1, h 2, "
    "w 4, g 8 bytes. Without an address, x goes on after the last one.",
    takes=(Takes.EXPRESSION,), in_gdb=True,
    examples=("x/4xg $rsp", "x/s 0x102010", "x/5i $pc", "x"),
)  # fmt: skip
async def _examine(session: Session, text: str) -> Result:
    form, address_text = ("", text)
    if text.startswith("/"):
        form, _, address_text = text[1:].partition(" ")
    count, letter, size = _read_format(session, form)
    if address_text.strip():
        address = await read_address(session, address_text)
    elif session.examine_next is not None:
        address = session.examine_next
    else:
        raise UsageError("'x' needs an address; write x/4xg $rsp or x/s 0x1000.")
    if letter == "i":
        rows, end = await _instructions(session, address, count)
    elif letter == "s":
        rows, end = await _strings(session, address, count)
    else:
        rows, end = await _items(session, address, count, letter, size)
    session.examine_next = end
    return Memory(tuple(rows))


def _read_format(session: Session, form: str) -> tuple[int, str, int]:
    match = _FORMAT.fullmatch(form)
    letters = match["letters"] if match else "?"
    letter = next((char for char in letters if char in "xduotacsi"), session.examine_format[0])
    size_letter = next((char for char in letters if char in _SIZES), session.examine_format[1])
    if match is None or any(char not in "xduotacsibhwg" for char in letters):
        raise UsageError(f"'/{form}' is not a format; write a count, a format letter and a size letter, as in /4xg.")
    if letter == "c" and not any(char in _SIZES for char in letters):
        size_letter = "b"
    if letter == "a":
        size_letter = "g"
    count = int(match["count"] or 1)
    if not 1 <= count <= _MOST:
        raise UsageError(f"x shows 1 to {_MOST} items, not {count}.")
    session.examine_format = letter + size_letter
    return count, letter, _SIZES[size_letter]


async def _items(session: Session, address: int, count: int, letter: str, size: int) -> tuple[list[MemoryRow], int]:
    data = await session.replay.read_memory(address, count * size)
    items = [_item(data[place : place + size], letter) for place in range(0, len(data), size)]
    width = _PER_ROW[size]
    rows = [MemoryRow(address + first * size, tuple(items[first : first + width])) for first in range(0, count, width)]
    return rows, address + count * size


def _item(raw: bytes, letter: str) -> str:
    value = int.from_bytes(raw, "little", signed=letter in "dc")
    digits = 2 * len(raw)
    match letter:
        case "d" | "u":
            return str(value)
        case "o":
            return f"0{value:o}" if value else "0"
        case "t":
            return f"{value:0{4 * digits}b}"
        case "a":
            return f"{value:#x}"
        case "c":
            return f"{value} {chr(value)!r}" if 32 <= value < 127 else f"{value} '\\{value & 0xFF:03o}'"
        case _:
            return f"0x{value:0{digits}x}"


async def _strings(session: Session, address: int, count: int) -> tuple[list[MemoryRow], int]:
    rows = []
    for _ in range(count):
        data = await _string_bytes(session, address)
        text, ended, _ = data.partition(b"\0")
        quoted = "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in text)
        rows.append(MemoryRow(address, (f'"{quoted}"' + ("" if ended else "..."),)))
        address += len(text) + 1
    return rows, address


async def _string_bytes(session: Session, address: int) -> bytes:
    """Up to 200 bytes, fewer where a page that is not mapped follows."""
    try:
        return await session.replay.read_memory(address, _STRING_BYTES)
    except RspError:
        return await session.replay.read_memory(address, min(_STRING_BYTES, 4096 - address % 4096))


async def _instructions(session: Session, address: int, count: int) -> tuple[list[MemoryRow], int]:
    lines = await session.replay.disassemble(address, count + 1)
    if not lines:
        raise UsageError(
            f"QEMU cannot disassemble at {address:#x}: nothing is mapped there, or it was built without capstone."
        )
    rows = [MemoryRow(place, (text,)) for place, text in lines[:count]]
    return rows, lines[count][0] if len(lines) > count else lines[-1][0]
