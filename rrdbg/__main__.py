"""``python -m rrdbg``."""

import sys

from rrdbg.frontends.cli import main

sys.exit(main())
