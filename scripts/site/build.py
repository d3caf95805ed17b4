"""Build README and docs/ as a site, ``python scripts/site/build.py FOLDER``; a link or anchor that is broken fails.

Sphinx reads copies of the pages in the places that they have to each other, so that a link means the same here as where
the sources are shown. The front page is the README with a table of contents, which only a site needs.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import main as sphinx

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs")
PARTS = {"Tutorial": "tutorial*.md", "How to": "howto/*.md", "Reference": "reference/*.md", "Why": "explanation/*.md"}


def contents(title: str, pages: list[str]) -> str:
    """A part of the table of contents."""
    return "\n".join(["", "```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```", ""])


def lay_out(source: Path) -> None:
    """Put the pages into ``source``, with the tables of contents."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    for name in PAGES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, source / name)
    shutil.copyfile(Path(__file__).with_name("conf.py"), source / "conf.py")
    docs = source / "docs"
    with (source / "README.md").open("a") as front:
        for title, pattern in PARTS.items():
            front.write(contents(title, [str(page.relative_to(source)) for page in sorted(docs.glob(pattern))]))
        front.write(contents("Project", [name for name in PAGES if name.endswith(".md")][1:]))


def main(target: Path) -> int:
    """Build the site in ``target``; the exit status."""
    source = target.with_name(f"{target.name}-source")
    lay_out(source)
    status = int(sphinx(["-b", "html", "-W", "--keep-going", "-q", "-j", "2", str(source), str(target)]))
    if not status:
        shutil.copyfile(target / "README.html", target / "index.html")
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
