"""How the API begins: :func:`rrdbg.open`, :func:`rrdbg.record`."""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from rrdbg.engine.making import trial
from rrdbg.engine.making.recorder import Recorded, Recorder, RecordRequest
from rrdbg.frontends.api.asynchronous import AsyncReplay
from rrdbg.frontends.api.bridge import OwnLoop
from rrdbg.frontends.api.synchronous import Replay
from rrdbg.links.gdb_choice import USUAL
from rrdbg.store.library import Library

P = ParamSpec("P")
T = TypeVar("T")


def open_recording(
    path: str | os.PathLike[str] | None = None,
    *,
    symbols: str | os.PathLike[str] | None = None,
    gdb: str | None = USUAL,
    snapshot_budget: str | int | None = None,
    trust: bool = False,
    jobs: int | None = None,
    dask: str | None = None,
    spares: int = 0,
) -> Replay:
    """Open the recording at ``path``, or of that name in the library, or the latest, with the cursor at its start.

    ``symbols`` is an ELF file (default: the recorded kernel, or a Linux guest's own names),
    ``gdb`` the program to start when symbols are needed
    (``"gdb"``: that, or gdb-multiarch if only that knows the guest; None: do without),
    ``snapshot_budget`` what the snapshots may take on disk, in bytes or such as ``"4G"``. Long
    searches are shared out among ``jobs`` processes (None: as many as there are processors), or on the Dask cluster
    whose scheduler is at ``dask``. While nothing moves up to ``spares`` QEMUs are started ahead. ``trust`` takes
    the recording for the user's own from now on, whoever has made it.

    :raises RecordingError: it cannot be used.
    :raises QemuLaunchError: its QEMU is missing.
    :raises LinkError: there is no such cluster.
    """
    loop = OwnLoop()
    try:
        beneath = loop.bridge.run(
            AsyncReplay.open(
                path, symbols=symbols, gdb=gdb, snapshot_budget=snapshot_budget, trust=trust,
                jobs=jobs, dask=dask, spares=spares,
            )
        )  # fmt: skip
        return Replay(beneath, loop.bridge, loop)
    except BaseException:
        loop.close()
        raise


async def record_async(
    command: str | Sequence[str],
    directory: str | os.PathLike[str] | None = None,
    *,
    until_console: str | None = None,
    timeout: float | None = None,
    max_icount: int | None = None,
    shift: str = "5",
    check: bool = True,
    on_console: Callable[[bytes], None] = lambda data: None,
) -> Recorded:
    """Record a guest: run a QEMU ``command`` line in record mode until the guest powers off or a limit is reached.

    ``directory`` is the new recording's (default: a new one in the library), ``timeout`` is in seconds, ``max_icount``
    in instructions, a guest instruction takes 2**shift ns. Unless ``check`` is False it is tried first, for about a
    second, whether such a guest can be replayed. The result tells where the recording is and how it ended.

    :raises UsageError: the directory exists, a file that the guest needs does not, or it cannot be replayed.
    :raises QemuLaunchError: QEMU did not start.
    """
    words = shlex.split(command) if isinstance(command, str) else list(command)
    library = Library.default()
    root = Path(directory) if directory is not None else library.fresh(Path(words[0]).name if words else "guest")
    request = RecordRequest(
        words, root, shift, until_console=until_console, timeout=timeout, max_icount=max_icount
    )  # fmt: skip
    recorder = Recorder(request, on_console)
    if check:
        await trial.check(request)
    recorded = await recorder.run()
    library.mark_latest(recorded.directory)
    return recorded


def _waited(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """``function`` as one that returns when it has ended."""

    @functools.wraps(function)
    def wait(*args: P.args, **kwargs: P.kwargs) -> T:
        loop = OwnLoop()
        try:
            return loop.bridge.run(function(*args, **kwargs))
        finally:
            loop.close()

    return wait


record = _waited(record_async)
