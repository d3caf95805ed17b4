"""For GDB, from a checkout: ``source gdb_scripts/rrdbg.py`` adds the commands ``rrdbg ...``.

Where rrdbg is installed, ``rrdbg gdbinit`` prints a line that does the same.
"""

from pathlib import Path

import gdb


def _load() -> None:
    # Not __file__: in a script that another one sources that is still the other one's.
    root = Path(_load.__code__.co_filename).resolve().parent.parent
    gdb.execute(f"source {root / 'rrdbg' / 'frontends' / 'gdb' / 'load.py'}")


_load()
