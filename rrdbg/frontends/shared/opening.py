"""A recording opened as the options of a command line say (:mod:`rrdbg.frontends.shared.options`)."""

from __future__ import annotations

import argparse
from pathlib import Path

from rrdbg.commands.program import HEADER, recorded_program
from rrdbg.engine.replay import Replay
from rrdbg.engine.search.parallel.cluster import ClusterExecutor
from rrdbg.engine.search.parallel.executor import Executor
from rrdbg.engine.search.parallel.local import LocalExecutor
from rrdbg.errors import UsageError
from rrdbg.frontends.shared.options import find_recording
from rrdbg.model.program.architecture import is_elf, other_architecture
from rrdbg.store.recording import Recording


def symbols_of(recording: Recording, given: str | None) -> Path | None:
    """The file to read symbols from: the one that was given, or the recorded kernel if that is an ELF file.

    :raises UsageError: there is no such file, or it is one for another architecture.
    """
    guest = recording.manifest.invocation.architecture
    if given:
        if not Path(given).is_file():
            raise UsageError(f"There is no file {given} to read symbols from.")
        with Path(given).open("rb") as chosen:
            header = chosen.read(HEADER)
        if not is_elf(header):
            raise UsageError(f"{given} is no ELF file; give the one that the guest's program was linked into.")
        if other := other_architecture(header, guest):
            raise UsageError(
                f"{given} is for {other}, and this is a guest of {guest}; give the file of its own program."
            )
        return Path(given).absolute()
    return recorded_program(recording)


async def open_replay(arguments: argparse.Namespace, *, spares: int = 0) -> Replay:
    """Open the recording that the command line names, with at most ``spares`` machines ahead of the next movement.

    :raises RecordingError: it cannot be used.
    :raises QemuLaunchError: its QEMU is missing.
    """
    return await open_with_workers(
        find_recording(arguments), arguments.jobs, arguments.dask,
        budget=arguments.snapshot_budget, spares=spares, client=arguments.subcommand,
    )  # fmt: skip


async def open_with_workers(
    path: Path, jobs: int, dask: str | None, *, budget: int | None, spares: int, client: str
) -> Replay:
    """Open the recording at ``path``, with long searches shared out among ``jobs`` processes, or a Dask cluster.

    Other sessions in it see this one as ``client``.

    :raises RecordingError: it cannot be used.
    :raises QemuLaunchError: its QEMU is missing.
    :raises LinkError: there is no such cluster.
    """
    executor = await _executor(jobs, dask)
    try:
        return await Replay.open(path, budget=budget, spares=spares, executor=executor, client=client)
    except BaseException:
        if executor:
            await executor.close()
        raise


async def _executor(jobs: int, dask: str | None) -> Executor | None:
    """Who does long searches; None where one process does them alone."""
    if dask:
        return await ClusterExecutor.connect(dask)
    return LocalExecutor(jobs) if jobs > 1 else None
