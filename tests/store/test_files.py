"""Files that are replaced as a whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rrdbg.store.files import write_atomically


def test_the_mode_is_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"content")
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
