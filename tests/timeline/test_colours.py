"""The colours of the timeline, as the colour-blind see them: those that stand side by side stay apart."""

from __future__ import annotations

import itertools
import math
import operator
import re
from importlib import resources

import pytest

Colour = tuple[float, float, float]
"""Red, green and blue as light, 0 to 1; or lightness and the two axes of OKLab."""

Matrix = tuple[Colour, Colour, Colour]

SEEN_BY: dict[str, Matrix] = {
    "all": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    # Machado, Oliveira and Fernandes 2009, of full severity: one kind of cones is missing.
    "protanopes": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopes": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanopes": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}
# Ottosson's OKLab, in which distances are about as large as they look; 0.02 is just seen between patches side by side.
TO_CONES: Matrix = (
    (0.4122214708, 0.5363325363, 0.0514459929), (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)  # fmt: skip
TO_LAB: Matrix = (
    (0.2104542553, 0.7936177850, -0.0040720468), (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)  # fmt: skip

APART = 0.07
STANDS_OUT = 3.0
"""What the guidelines for accessible pages demand of what is no text."""

TRACKS = tuple(f"track-{number}" for number in range(8))
LINES = ("cursor", "other", "window")


def palettes() -> dict[str, dict[str, Colour]]:
    """The page's colours by name, for each scheme."""
    text = (resources.files("rrdbg.render") / "timeline_page" / "style.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    found = {
        scheme: dict(re.findall(r"--([\w-]+): #(\w{6});", part))
        for scheme, part in zip(("light", "dark"), (light, dark), strict=True)
    }
    return {scheme: {name: _light(digits) for name, digits in colours.items()} for scheme, colours in found.items()}


def _light(digits: str) -> Colour:
    red, green, blue = (int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
    return _linear(red), _linear(green), _linear(blue)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def _times(matrix: Matrix, colour: Colour) -> Colour:
    first, second, third = (sum(map(operator.mul, row, colour)) for row in matrix)
    return first, second, third


def distance(one: Colour, other: Colour, who: str) -> float:
    """How different two colours look to those."""

    def lab(colour: Colour) -> Colour:
        seen = _times(SEEN_BY[who], colour)
        red, green, blue = (min(max(part, 0.0), 1.0) for part in seen)
        long, middle, short = (max(part, 0.0) ** (1 / 3) for part in _times(TO_CONES, (red, green, blue)))
        return _times(TO_LAB, (long, middle, short))

    return math.dist(lab(one), lab(other))


def contrast(one: Colour, other: Colour) -> float:
    """As the guidelines for accessible pages count it."""
    dark, light = sorted(0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in (one, other))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("who", SEEN_BY)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_tracks_and_the_cursor_are_told_apart(scheme: str, who: str) -> None:
    colours = palettes()[scheme]
    # Those of other clients are dashed, and the window is a frame: they need to differ from the cursor alone.
    pairs = [*itertools.combinations((*TRACKS, "cursor"), 2), *(("cursor", line) for line in LINES[1:])]
    found = sorted((round(distance(colours[one], colours[other], who), 3), one, other) for one, other in pairs)
    assert found[0][0] >= APART, found[:5]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_they_stand_out(scheme: str) -> None:
    colours = palettes()[scheme]
    found = {
        name: min(contrast(colours[name], colours[back]) for back in ("panel", "page")) for name in (*TRACKS, *LINES)
    }
    assert not {name: ratio for name, ratio in found.items() if ratio < STANDS_OUT}


def test_what_looks_alike_is_found() -> None:
    red, green = _light("c21f1f"), _light("5d6b12")
    assert distance(red, green, "all") > 2 * distance(red, green, "deuteranopes")
    assert distance(red, red, "tritanopes") == 0
    assert round(contrast(_light("000000"), _light("ffffff"))) == 21
