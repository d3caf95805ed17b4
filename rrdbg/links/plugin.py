"""The TCG plugin, ``tally.c`` and its headers: built by the user's compiler when needed, tried on QEMU.

QEMU's plugin interface changed with its versions, and QEMU refuses a plugin that was built for another one, so there is
one build for each. They are kept in the user's cache directory, by a checksum of the source.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from rrdbg.errors import PluginError
from rrdbg.model.machine.options import escape

API_VERSIONS = (7, 4, 2, 1)
"""The plugin interfaces that differ for us: those of QEMU 11.1, 9.2, 9.0 and 7.2. A QEMU takes some before its own."""

_JUDGES = 4
_HEARS = 7
_SOURCES = ("tally.c", "tasks.h", "accesses.h", "agent.h", "reading.h", "watch.h", "frames.h", "blocks.h")

_COMPILERS = ("cc", "gcc", "clang")
_FLAGS = ("-std=gnu17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden")
_SECONDS = 60.0
_LOADED = "rrdbg: loaded"
_NEWEST = re.compile(r"supports only up to version (\d+)")
"""How QEMU refuses a plugin that was built for a later interface than its own."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin that a QEMU has been seen to load, and for which of QEMU's interfaces it is built."""

    path: Path
    api: int

    @property
    def hears_exceptions(self) -> bool:
        """True if QEMU tells it of exceptions, so that it can count as QEMU does."""
        return self.api >= _HEARS

    @property
    def judges(self) -> bool:
        """True if it can judge conditions, and which writes change something: it can read registers and memory."""
        return self.api >= _JUDGES

    def words(self, tally: Path) -> list[str]:
        """QEMU's options that load it, to note in the file ``tally`` what it finds."""
        return ["-plugin", f"file={escape(str(self.path))},tally={escape(str(tally))}"]


async def find_plugin(qemu: str) -> Plugin:
    """The plugin for the program ``qemu``, built if need be.

    :raises PluginError: there is no compiler, or this QEMU takes no plugins or none of ours; the message says which.
    """
    refusals: list[str] = []
    newest = API_VERSIONS[0]
    for api in API_VERSIONS:
        if api > newest:
            continue
        path = await build(api)
        # The plugin ends QEMU itself, before there is a machine.
        status, said = await _run(
            [qemu, "-machine", "none", "-display", "none", "-plugin", f"file={escape(str(path))}"]
        )
        if status == 0 and _LOADED in said:
            return Plugin(path, api)
        refusals.append(said.strip().rpartition("\n")[2])
        if match := _NEWEST.search(said):
            newest = int(match[1])
    raise PluginError(f"{qemu} does not load the plugin: {refusals[0] or 'it printed nothing'}")


async def build(api: int) -> Path:
    """The plugin built for QEMU's interface ``api``, which appears in the cache only when it is complete.

    :raises PluginError: there is no C compiler, or it fails, or there is no place to keep the result.
    """
    sources = {name: resources.files("rrdbg.links").joinpath(name).read_bytes() for name in _SOURCES}
    digest = hashlib.blake2b(b"".join(sources.values()), digest_size=8).hexdigest()
    target = _cache() / f"tally-{digest}-api{api}.so"
    if target.exists():
        return target
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise PluginError("There is no C compiler to build the plugin with; on Debian: apt-get install gcc libc6-dev.")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
            for name, source in sources.items():
                Path(folder, name).write_bytes(source)
            text, made = Path(folder, _SOURCES[0]), Path(folder, "tally.so")
            status, said = await _run([compiler, *_FLAGS, f"-DAPI_VERSION={api}", "-o", str(made), str(text)])
            if status:
                raise PluginError(f"{compiler} cannot build the plugin: {' / '.join(said.split(chr(10))[:3])}")
            made.replace(target)
    except OSError as error:
        raise PluginError(f"The plugin cannot be kept in {target.parent}: {error.strerror}.") from None
    return target


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rrdbg"


async def _run(command: Sequence[str]) -> tuple[int, str]:
    """Run ``command`` to its end; its exit status, and what it printed."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        raise PluginError(f"Cannot run {command[0]}: {error.strerror}.") from None
    try:
        async with asyncio.timeout(_SECONDS):
            output = (await process.communicate())[0]
    except TimeoutError:
        raise PluginError(f"{command[0]} has not ended within {_SECONDS:.0f} s.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")
