"""The registers as a client wants to see them: in the layout of the mode that an x86 CPU is in.

GDB takes its picture of the CPU from the target description, and disassembles by it. QEMU's gdbstub gives one for all
modes; so for 16- and 32-bit code of ``qemu-system-x86_64`` there is one of ours, and the registers are written anew for
it. In all of them the program counter is a linear address, as breakpoints and memory are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rrdbg.links.registers import RegisterFile, register_file
from rrdbg.model.program.code_mode import CodeMode, CodeSegment

_GENERAL = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
_POINTERS = {"esp": "data_ptr", "ebp": "data_ptr"}
_SEGMENTS = ("cs", "ss", "ds", "es", "fs", "gs")
_FLOATING = ("fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop")
_SYSTEM = ("fs_base", "gs_base", "cr0", "cr2", "cr3", "cr4", "efer")


def _description(architecture: str, theirs: Sequence[str]) -> dict[str, str]:
    """A description of a 32-bit CPU; its registers have the numbers of those of ``theirs`` that they are parts of."""

    def register(name: str, bits: int, kind: str) -> str:
        number = theirs.index(_long_name(name) if _long_name(name) in theirs else name)
        return f'<reg name="{name}" bitsize="{bits}" type="{kind}" regnum="{number}"/>'

    core = [register(name, 32, _POINTERS.get(name, "int32")) for name in _GENERAL]
    core += [register("eip", 32, "code_ptr"), register("eflags", 32, "i386_eflags")]
    core += [register(name, 32, "int32") for name in _SEGMENTS]
    core += [register(f"st{number}", 80, "i387_ext") for number in range(8)]
    core += [register(name, 32, "int") for name in _FLOATING]
    sse = [register(f"xmm{number}", 128, "vec128") for number in range(8)] + [register("mxcsr", 32, "int")]
    system = [register(name, 64, "int64") for name in _SYSTEM if name in theirs]
    return {
        "target.xml": '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target>'
        f"<architecture>{architecture}</architecture>"
        + "".join(f'<xi:include href="rrdbg-{part}.xml"/>' for part in ("core", "sse", "system"))
        + "</target>",
        "rrdbg-core.xml": _feature("org.gnu.gdb.i386.core", _EFLAGS, core),
        "rrdbg-sse.xml": _feature("org.gnu.gdb.i386.sse", _VECTORS, sse),
        "rrdbg-system.xml": _feature("org.rrdbg.system", "", system),
    }


def _long_name(name: str) -> str:
    """What a register whose lower half is ``name`` is called: ``rax`` for ``eax``."""
    return f"r{name[1:]}" if name in (*_GENERAL, "eip") else name


def _feature(name: str, types: str, registers: list[str]) -> str:
    return (
        f'<?xml version="1.0"?><!DOCTYPE feature SYSTEM "gdb-target.dtd"><feature name="{name}">'
        f"{types}{''.join(registers)}</feature>"
    )


_EFLAGS = (
    '<flags id="i386_eflags" size="4">'
    + "".join(
        f'<field name="{name}" start="{bit}" end="{bit}"/>'
        for name, bit in (
            *(("CF", 0), ("", 1), ("PF", 2), ("AF", 4), ("ZF", 6), ("SF", 7), ("TF", 8), ("IF", 9), ("DF", 10)),
            *(("OF", 11), ("NT", 14), ("RF", 16), ("VM", 17), ("AC", 18), ("VIF", 19), ("VIP", 20), ("ID", 21)),
        )
    )
    + "</flags>"
)
_VECTORS = (
    '<vector id="v4f" type="ieee_single" count="4"/><vector id="v2d" type="ieee_double" count="2"/>'
    '<vector id="v16i8" type="int8" count="16"/><vector id="v8i16" type="int16" count="8"/>'
    '<vector id="v4i32" type="int32" count="4"/><vector id="v2i64" type="int64" count="2"/>'
    '<union id="vec128"><field name="v4_float" type="v4f"/><field name="v2_double" type="v2d"/>'
    '<field name="v16_int8" type="v16i8"/><field name="v8_int16" type="v8i16"/><field name="v4_int32" type="v4i32"/>'
    '<field name="v2_int64" type="v2i64"/><field name="uint128" type="uint128"/></union>'
)


class Layout:
    """One picture of the CPU: the ``documents`` that describe it, and how the registers of QEMU's ``file`` go into it.

    Registers have QEMU's numbers in all of them; in some there are fewer, and shorter ones.
    """

    def __init__(self, documents: Mapping[str, str], own: RegisterFile, file: RegisterFile) -> None:
        self.documents = documents
        self._own = own
        self._file = file
        self._theirs = list(file.registers.values())
        names = [register.name for register in self._theirs]
        self._sizes = {
            names.index(name if name in names else _long_name(name)): register.size
            for name, register in own.registers.items()
        }

    def shown(self, packet: bytes, segment: CodeSegment | None) -> bytes:
        """QEMU's ``packet`` in this layout, with a linear program counter."""
        if segment is None:
            return packet
        found = (self.register(packet, segment, number) for number in self._sizes)
        return b"".join(digits for digits in found if digits is not None)

    def register(self, packet: bytes, segment: CodeSegment | None, number: int) -> bytes | None:
        """The register ``number`` of ``packet``; None if it is not in it."""
        digits = self._file.digits(packet, number)
        if digits is None or number not in self._sizes:
            return None
        if segment and self._theirs[number].name == self._file.pc:
            pointer = int.from_bytes(bytes.fromhex(digits.decode()), "little")
            digits = segment.linear(pointer).to_bytes(self._theirs[number].size, "little").hex().encode()
        return digits[: 2 * self._sizes[number]]

    def written(self, rest: bytes, segment: CodeSegment) -> bytes:
        """The packet that writes a register of QEMU's, for ``rest`` of one that writes it here: ``NUMBER=DIGITS``.

        :raises ValueError: it is malformed, or there is no such register.
        """
        digits = rest.partition(b"=")[2]
        number = int(rest.partition(b"=")[0], 16)
        if number not in self._sizes:
            raise ValueError(f"no register {number}")
        value = int.from_bytes(bytes.fromhex(digits.decode()), "little")
        if self._theirs[number].name == self._file.pc:
            value = segment.pointer(value)
        return b"P%x=%b" % (number, value.to_bytes(self._theirs[number].size, "little").hex().encode())


def layouts(documents: Mapping[str, str], file: RegisterFile) -> dict[str, Layout]:
    """The pictures of a CPU that QEMU describes by ``documents``, by GDB's name; the natural one is called ``""``."""
    found = {"": Layout(documents, file, file)}
    if not file.segmented:
        return found
    if file.pc == "eip":
        small = {
            name: text.replace("<architecture>i386<", f"<architecture>{CodeMode.BITS16}<")
            for name, text in documents.items()
        }
        return {**found, CodeMode.BITS32: found[""], CodeMode.BITS16: Layout(small, file, file)}
    found[CodeMode.BITS64] = found[""]
    for mode in (CodeMode.BITS32, CodeMode.BITS16):
        described = _description(mode, list(file.registers))
        found[mode] = Layout(described, register_file("i386", described), file)
    return found
