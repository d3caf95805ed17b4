"""Each command in the README, the tutorial and the how-tos is run, in its order, and prints what the page shows.

A block that no test can run has a comment above it, ``<!-- not run: REASON -->``; one that is neither run nor marked
fails. Where a page shows nothing below a command, the command must succeed.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.blocks import Block, blocks
from tests.docs.reader import Reader
from tests.docs.worlds import ROOT, WORLDS, Place, Recordings, World

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/tutorial*.md")), *sorted(ROOT.glob("docs/howto/*.md"))]
NOT_RUN = 53
"""How many blocks are marked. Whoever adds one says so here."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def world_of(page: Path) -> World:
    return WORLDS.get(name_of(page), World())


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return Recordings(tmp_path_factory.mktemp("recordings"))


def follow(page: Path, to_do: list[Block], recordings: Recordings, folder: Path, *, long: bool) -> None:
    world = world_of(page)
    with ExitStack() as stack:
        reader = Reader(Place.make(world, recordings, folder, long=long), world, stack)
        stack.callback(reader.end)
        for block in to_do:
            reader.follow(block)


@pytest.mark.parametrize("page", [page for page in PAGES if not world_of(page).matrix], ids=name_of)
def test_it_does_what_it_says(page: Path, recordings: Recordings, tmp_path: Path) -> None:
    to_do = [block for block in blocks(page) if not block.not_run and not block.long]
    if to_do:
        follow(page, to_do, recordings, tmp_path, long=False)


@pytest.mark.matrix  # Linux, and what takes long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "page", [page for page in PAGES if world_of(page).matrix or any(block.long for block in blocks(page))], ids=name_of
)
def test_all_of_it_does_what_it_says(page: Path, recordings: Recordings, tmp_path: Path) -> None:
    follow(page, [block for block in blocks(page) if not block.not_run], recordings, tmp_path, long=True)


def test_what_is_not_run_says_why() -> None:
    marked = [block for page in PAGES for block in blocks(page) if block.not_run]
    marked.sort(key=lambda block: str(block.not_run))
    for reason, those in itertools.groupby(marked, lambda block: block.not_run):
        print(f"{reason}: {', '.join(map(str, those))}")
    assert len(marked) == NOT_RUN
    run = sum(len(block.typed) for page in PAGES for block in blocks(page) if not block.not_run)
    assert run > 100
