"""Which decoder reads a guest's code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rrdbg.errors import UsageError
from rrdbg.model.program.decoding.aarch64 import Aarch64Decoder
from rrdbg.model.program.decoding.arm import ArmDecoder
from rrdbg.model.program.decoding.decoder import Decoder
from rrdbg.model.program.decoding.riscv import RiscvDecoder
from rrdbg.model.program.decoding.x86 import X86Decoder

_BY_REGISTERS: Sequence[tuple[frozenset[str], type[Decoder]]] = (
    (frozenset({"rip"}), X86Decoder),
    (frozenset({"eip"}), X86Decoder),
    (frozenset({"x30", "cpsr"}), Aarch64Decoder),
    (frozenset({"lr", "cpsr"}), ArmDecoder),
    (frozenset({"lr", "xpsr"}), ArmDecoder),
    (frozenset({"ra", "tp"}), RiscvDecoder),
)


def decoder_for(sizes: Mapping[str, int], *, little_endian: bool) -> Decoder:
    """The decoder for a CPU with registers of these names, each of so many bytes.

    :raises UsageError: none knows them, or the package that they need is missing.
    """
    found = next((decoder for names, decoder in _BY_REGISTERS if names <= sizes.keys()), None)
    if found is None or not little_endian:
        raise UsageError(
            "Values are followed on x86, aarch64, arm and riscv guests only; use 'last EXPR' from hop to hop."
        )
    try:
        import capstone  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError(
            "To read what instructions do needs the Python package 'capstone'; install it with: "
            "pip install 'rrdbg[origin]'"
        ) from None
    return found(sizes)
