"""Programs of Debian's packages with the libraries that they need, downloaded and not installed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.guests.linux import download


def fetch_tool(out_dir: Path, name: str, *packages: str) -> Path:
    """A folder below ``out_dir`` with /usr/bin/NAME of the package of that name, and the libraries in ``packages``.

    What is there is kept. Libraries have the names that the linker looks for.
    """
    kept = out_dir.resolve() / name
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=out_dir) as scratch:
            made = Path(scratch, "made")
            made.mkdir()
            program = made / name
            program.write_bytes(download(name, Path(scratch)).joinpath("usr/bin", name).read_bytes())
            program.chmod(0o755)
            for package in packages:
                for path in download(package, Path(scratch)).rglob("*.so.[0-9]"):
                    made.joinpath(path.name).write_bytes(path.read_bytes())
            made.replace(kept)
    return kept
