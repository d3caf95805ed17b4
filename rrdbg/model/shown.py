"""Text of others, made fit to be shown.

What a guest prints, what a recording, a note or QEMU says may hold characters that a terminal obeys: to write to the
clipboard, to change a title, to overwrite what stands above. They are shown, not sent.
"""

from __future__ import annotations

_KEPT = "\n\t"
_SHOWN = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if chr(code) not in _KEPT} | {
    code: f"\\u{code:04x}" for code in (*range(0x200E, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
"""Control characters of ASCII and Latin 1, and those that turn the direction of writing."""

_ON_ONE_LINE = _SHOWN | {ord("\n"): "\\n", ord("\t"): "\\t"}


def shown(text: str) -> str:
    """``text`` with characters that a terminal obeys written as ``\\x1b``; lines and tabs stay."""
    return text.translate(_SHOWN)


def on_one_line(text: str) -> str:
    """The same for a cell of a table: lines and tabs are written as ``\\n`` and ``\\t``, too."""
    return text.translate(_ON_ONE_LINE)
