"""For GDB, from a checkout: ``source gdb_scripts/rrdbg.py`` adds the commands ``rrdbg ...``.

Where rrdbg is installed, ``rrdbg gdbinit`` prints a line that does the same.
"""

from pathlib import Path

import gdb

gdb.execute(f"source {Path(__file__).resolve().parent.parent / 'rrdbg/frontends/gdb/load.py'}")
