"""What GDB sources: finds the package around this file, and installs the extension.

``sys.path`` stays as it is, or packages beside rrdbg, made for another Python, would be found by other scripts.
"""

import sys
from importlib import util
from pathlib import Path

import gdb


def load() -> None:
    """Import rrdbg from where this file lies, and install the extension, unless it is there already."""
    if "rrdbg.frontends.gdb.extension" in sys.modules:
        return
    if sys.version_info < (3, 11):  # noqa: UP036  # GDB's Python is not the one that rrdbg was installed for
        raise gdb.GdbError("rrdbg's commands need a GDB with Python 3.11 or newer; use 'target remote' and 'monitor'.")
    # Not __file__: in a script that another one sources that is still the other one's.
    package = Path(load.__code__.co_filename).resolve().parents[2]
    if "rrdbg" not in sys.modules:
        spec = util.spec_from_file_location(
            "rrdbg", package / "__init__.py", submodule_search_locations=[str(package)]
        )  # fmt: skip
        assert spec is not None, "a file's path always gives one"
        assert spec.loader is not None, "and a loader"
        sys.modules["rrdbg"] = module = util.module_from_spec(spec)
        spec.loader.exec_module(module)
    from rrdbg.frontends.gdb.extension import install

    install()


load()
