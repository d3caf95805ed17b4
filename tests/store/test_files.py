"""Files that are replaced as a whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rrdbg.store.files import write_atomically


def test_s8_only_what_is_made_for_others_has_the_mode_that_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "own", b"content")
        assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o600
        write_atomically(tmp_path / "file", b"content", private=False)
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
