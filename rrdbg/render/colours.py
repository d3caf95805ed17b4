"""C and assembly in colours, in text that GDB or QEMU printed; needs Pygments, and leaves text alone without it."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pygments.formatter import Formatter
    from pygments.lexer import Lexer

_SOURCE = re.compile(r"^(?P<head>\d+\t)(?P<code>.*)$")
_ASSEMBLY = re.compile(r"^(?P<head>(?:=>|  )? *(?:[\d,:]+ \([\d.]+%\)  )?0x[0-9a-f]+(?: <[^>]*>)?:\s)(?P<code>.*)$")


def coloured(text: str) -> str:
    """``text`` with the lines coloured that are source code, as ``list`` shows it, or instructions."""
    tools = _tools()
    return "\n".join(_line(line, *tools) for line in text.split("\n")) if tools else text


def _line(line: str, c: Lexer, assembly: Lexer, formatter: Formatter[str]) -> str:
    from pygments import highlight

    for pattern, lexer in ((_SOURCE, c), (_ASSEMBLY, assembly)):
        if match := pattern.match(line):
            return match["head"] + highlight(match["code"], lexer, formatter).rstrip("\n")
    return line


@cache
def _tools() -> tuple[Lexer, Lexer, Formatter[str]] | None:
    try:
        from pygments.formatters import TerminalFormatter
        from pygments.lexers import CLexer, GasLexer
    except ImportError:
        return None
    return CLexer(stripnl=False), GasLexer(stripnl=False), TerminalFormatter()
