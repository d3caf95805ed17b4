"""Draw a screen of the shell: ``python -m tests.shell.picture RECORDING docs/howto/shell.svg``.

RECORDING is one of heapbug. What is drawn is what a terminal would show, cell by cell, with its colours.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from html import escape
from itertools import groupby
from pathlib import Path

from pyte.screens import Char

from tests.recordings import fresh_copy
from tests.shell.terminal import PROMPT, Terminal

LINES = ("bt", "last tasks[3].magic", "reverse-next", "print *task", "calls log_append", "seek @3", "info snapshots")
WIDTH, HEIGHT, FONT = 8.4, 18, 14
"""Of a cell, and of its letters, in pixels."""

GROUND, INK = "#1e2127", "#d7dae0"
COLOURS = {
    "black": "#5c6370", "red": "#e06c75", "green": "#98c379", "brown": "#e5c07b", "blue": "#61afef",
    "magenta": "#c678dd", "cyan": "#56b6c2", "white": "#d7dae0", "brightblack": "#7f848e",
}  # fmt: skip


def colour(name: str, usual: str) -> str:
    """The colour that pyte calls ``name``, which may be a number."""
    if name == "default":
        return usual
    return COLOURS.get(name.removeprefix("bright"), f"#{name}" if len(name) == 6 else usual)


def drawn(row: int, cells: list[Char]) -> Iterator[str]:
    """The words of a line of the screen, and the grounds that they stand on."""
    column = 0
    for (fore, back, bold), run in groupby(cells, lambda cell: look(cell)):
        text = "".join(cell.data for cell in run)
        x, y = column * WIDTH, row * HEIGHT
        column += len(text)
        if back != GROUND:
            yield f'<rect x="{x:.1f}" y="{y}" width="{len(text) * WIDTH:.1f}" height="{HEIGHT}" fill="{back}"/>'
        # Words are put where they belong one by one, as spaces that end a text are not drawn.
        for word in re.finditer(r"\S+", text):
            weight = ' font-weight="bold"' if bold else ""
            length = f'textLength="{len(word[0]) * WIDTH:.1f}" lengthAdjust="spacingAndGlyphs"'
            place = f'x="{x + word.start() * WIDTH:.1f}" y="{y + FONT}"'
            yield f'<text {place} {length} fill="{fore}"{weight}>{escape(word[0])}</text>'


def look(cell: Char) -> tuple[str, str, bool]:
    """The colours of a cell, and whether it is bold."""
    fore, back = colour(cell.fg, INK), colour(cell.bg, GROUND)
    return (back, fore, cell.bold) if cell.reverse else (fore, back, cell.bold)


def main(recording: Path, target: Path) -> None:
    """Type, and draw what is there then."""
    with tempfile.TemporaryDirectory() as folder:
        copy = fresh_copy(recording, Path(folder) / recording.name)
        with Terminal(["replay", str(copy)], Path(folder), rows=40, columns=128) as terminal:
            terminal.wait_for(PROMPT)
            for line in LINES:
                terminal.run(line)
            terminal.wait_for(r"snapshots?", below=True)
            screen = terminal.screen
            rows = [[screen.buffer[row][x] for x in range(screen.columns)] for row in range(screen.lines)]
            terminal.type("quit\r")
            terminal.ended()
    width, height = screen.columns * WIDTH, screen.lines * HEIGHT
    body = "\n".join(part for row, cells in enumerate(rows) for part in drawn(row, cells))
    target.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 -8 {width + 16:.0f} {height + 16}" '
        f'font-family="ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="{FONT}" '
        f'xml:space="preserve">\n<rect x="-8" y="-8" width="100%" height="100%" fill="{GROUND}"/>\n{body}\n</svg>\n'
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
