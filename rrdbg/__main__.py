"""``python -m rrdbg``."""

import sys

from rrdbg.frontends.cli.main import main

sys.exit(main())
