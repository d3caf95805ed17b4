"""A QEMU process of ours: started with sockets it inherits, watched, and always ended.

QMP and the gdbstub run over socket pairs, so there is no path to clash, to leak or to be too long. QEMU
gets a session of its own (a Ctrl-C in the terminal is ours, not its), stands in a folder of its own, and dies with us
(``setpriv --pdeathsig``), even when we are killed. What lies between is :mod:`rrdbg.links.become_qemu`; no shell.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rrdbg.errors import HostError, LinkError, QemuDied, QemuLaunchError, Stalled
from rrdbg.links.process_state import cpu_seconds
from rrdbg.links.qmp import QmpLink
from rrdbg.links.scheduling import Processors, Threads
from rrdbg.links.unbroken import unbroken

_END_SECONDS = 10.0
_KEPT_OUTPUT = 4096

FIRST_SOCKET = 10
"""Sockets get numbers from here on; those below are free for files."""

_STUB = str(Path(__file__).with_name("become_qemu.py"))

_OPTION = re.compile(r"^-drive .*\}: ")
"""The option that QEMU complains of: our own, a long one that nobody needs to read."""

T = TypeVar("T")


def find_qemu(binary: str) -> str:
    """The absolute path of a QEMU program.

    :raises QemuLaunchError: there is none of that name.
    """
    path = shutil.which(binary)
    if path is None:
        raise QemuLaunchError(
            f"{binary} is not installed or not on PATH; on Debian: apt-get install qemu-system-x86 "
            "(or the qemu-system package of the guest's architecture)."
        )
    return str(Path(path).absolute())


async def qemu_version(path: str) -> str:
    """What ``--version`` prints after "version ", for example ``7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)``.

    :raises QemuLaunchError: it cannot be run, or is no QEMU.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        raise QemuLaunchError(f"Cannot run {path}: {error.strerror}.") from None
    try:
        async with asyncio.timeout(_END_SECONDS):
            output = (await process.communicate())[0].decode(errors="replace")
    except TimeoutError:
        raise QemuLaunchError(f"{path} --version has not ended within {_END_SECONDS:.0f} s.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    first = output.partition("\n")[0]
    _, found, version = first.partition("QEMU emulator version ")
    if not found:
        raise QemuLaunchError(f"{path} is not a QEMU system emulator: --version printed {first[:80]!r}.")
    return version.strip()


def in_front_of_qemu(words: Sequence[str], directory: Path = Path("/"), kind: str = "other") -> list[str]:
    """The program that does what ``words`` say and becomes what follows (:mod:`rrdbg.links.become_qemu`)."""
    return [sys.executable, "-I", "-S", _STUB, str(os.getpid()), str(directory), kind, *words, "--"]


def kept_clear(file: int) -> int:
    """``file`` by a number to be passed to a QEMU, clear of those that it finds files by; the old one is closed."""
    try:
        return fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, FIRST_SOCKET)
    finally:
        os.close(file)


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets: ours, and one that a QEMU can be given."""
    ours, low = socket.socketpair()
    with low:
        return ours, socket.socket(fileno=fcntl.fcntl(low.fileno(), fcntl.F_DUPFD_CLOEXEC, FIRST_SOCKET))


class QemuProcess:
    """One running QEMU, its QMP link, and the ends of the other sockets it was given."""

    remedy = "travel again to start a new QEMU"
    """What the user can do when a replay no longer follows its log."""

    def __init__(self, process: subprocess.Popen[bytes], command: Sequence[str], files: Mapping[int, Path]) -> None:
        self._process = process
        self._command = command
        self._files = files
        self._threads: Threads | None = None
        self._output = bytearray()
        self._exit = _exit_of(process)
        self._reader = asyncio.create_task(self._read_output())
        self._ending = asyncio.Lock()
        self.qmp: QmpLink

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        sockets: Sequence[socket.socket] = (),
        directory: Path | None = None,
        files: Mapping[int, Path] | None = None,
        processors: Processors | None = None,
        passed: Sequence[int] = (),
        confined: Sequence[str] = (),
    ) -> QemuProcess:
        """Start QEMU and negotiate QMP.

        ``sockets`` are QEMU's ends of socket pairs that ``command`` names by ``fd=``; they are closed here.
        ``files`` are opened to be read as file descriptors 3 to 9; ``command`` names them as ``/dev/fd/N``. QEMU stands
        in ``directory``, and has the file descriptors ``passed``, which stay open here, too. One that replays is given
        ``processors``, to keep to one of them whenever it runs. It is ``confined`` by those words
        (:func:`rrdbg.links.confinement.words_of`).

        :raises QemuLaunchError: it could not be started, or ended at once; the message has what it printed.
        :raises QemuDied: somebody killed it.
        :raises Stalled: it does not greet us.
        """
        ours, theirs = socket_pair()
        fd = theirs.fileno()
        words = [
            *command,
            "-chardev",
            f"socket,id=rrdbg-qmp,fd={fd}",
            "-mon",
            "chardev=rrdbg-qmp,mode=control",
        ]
        try:
            opened = _open(files or {})
        except BaseException:
            for end in (ours, theirs, *sockets):
                end.close()
            raise
        try:
            # Not asyncio's: see _exit_of. It takes some milliseconds.
            process = subprocess.Popen(  # noqa: ASYNC220
                [
                    *_until_we_die(),
                    *in_front_of_qemu(
                        [*(f"{low}={high}" for low, high in opened.items()), *confined],
                        directory or Path.cwd(),
                        "replay" if processors else "other",
                    ),
                    *words,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(fd, *(end.fileno() for end in sockets), *opened, *passed),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise QemuLaunchError(str(HostError.of(error, f"Cannot start {command[0]}"))) from None
        finally:
            for end in (theirs, *sockets):
                end.close()
            for number in opened:
                os.close(number)
        try:
            qemu = cls(process, words, files or {})
        except BaseException:
            ours.close()
            process.kill()
            process.communicate()
            raise
        connecting = asyncio.create_task(QmpLink.connect(ours))
        try:
            # Cancelled in the middle of it, the library would leave its writer open; without a QEMU it ends by itself.
            qemu.qmp = await asyncio.shield(connecting)
        except Stalled:
            await qemu.kill()
            raise
        except LinkError:
            try:
                death = await qemu.death()
                killed = process.returncode == -signal.SIGKILL
            finally:
                await qemu.kill()
            if killed:
                raise death from None
            raise QemuLaunchError(f"QEMU did not start: {qemu.last_words()}") from None
        except BaseException:
            await unbroken(_give_up(qemu, connecting))
            raise
        if processors:
            qemu._threads = Threads(qemu.pid, processors)
        return qemu

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def command(self) -> Sequence[str]:
        """The command line it was started with."""
        return self._command

    @property
    def alive(self) -> bool:
        """False once the process has ended."""
        return not self._exit.done()

    def cpu_seconds(self) -> float:
        """What it has used of processors so far, its threads together; 0 if that is not to be had."""
        return cpu_seconds(self.pid)

    @contextmanager
    def long_run(self) -> Iterator[None]:
        """Have the threads keep to one processor meanwhile, if any were given."""
        with self._threads.together() if self._threads else contextlib.nullcontext():
            yield

    @contextmanager
    def main_loop_first(self) -> Iterator[None]:
        """Have the main loop interrupt the guest as soon as it has something to do, as far as we may."""
        with self._threads.main_loop_first() if self._threads else contextlib.nullcontext():
            yield

    def last_words(self) -> str:
        """What QEMU printed last, as one line, without its program name; never empty."""
        text = self._output.decode(errors="replace").strip()
        for number, path in self._files.items():
            text = text.replace(f"/dev/fd/{number}", str(path))
        lines = [_OPTION.sub("", line.partition(": ")[2] or line) for line in text.splitlines() if line]
        return " / ".join(lines[-4:]) or f"it printed nothing (exit status {self._process.returncode})"

    async def guard(self, work: Awaitable[T]) -> T:
        """Await ``work``, but give up when the process ends.

        :raises QemuDied: it ended; the message has the exit status and what it printed last.
        """
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self._exit), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                try:
                    return task.result()
                except QemuDied:
                    raise await self.death() from None
            raise await self.death()
        finally:
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task

    async def ended(self, seconds: float | None = None) -> int:
        """Wait for the process to end and return its exit status.

        :raises TimeoutError: it did not within ``seconds``.
        """
        async with asyncio.timeout(seconds):
            return await asyncio.shield(self._exit)

    async def quit(self) -> None:
        """End it in order by QMP, so that a recorder completes its log; kill it if it does not go."""
        if self.alive:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await self.qmp.quit()
        with contextlib.suppress(TimeoutError):
            await self.ended(_END_SECONDS)
        await self.kill()

    async def kill(self) -> None:
        """End it now, and completely even if we are cancelled meanwhile."""
        await unbroken(self._kill())

    async def _kill(self) -> None:
        if self.alive:
            self._process.kill()
        # One after another: the QMP library cannot close a connection twice at the same time.
        async with self._ending:
            await asyncio.shield(self._exit)
            await self._reader
            if hasattr(self, "qmp"):
                await self.qmp.close()

    async def death(self) -> QemuDied:
        """The error that tells how the process ended, once a connection to it has broken."""
        await asyncio.wait((self._exit, self._reader), timeout=_END_SECONDS)
        status = self._process.returncode
        how = (
            f"was killed by {signal.Signals(-status).name}" if status and status < 0 else f"ended with status {status}"
        )
        said = self._output.decode(errors="replace").strip().replace("\n", " / ")
        return QemuDied(f"QEMU (pid {self.pid}) {how}" + (f"; its last words: {said[-400:]}" if said else "."))

    async def _read_output(self) -> None:
        assert self._process.stdout is not None
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), self._process.stdout
        )
        try:
            while chunk := await stream.read(4096):
                self._output += chunk
                del self._output[:-_KEPT_OUTPUT]
        finally:
            transport.close()


def _until_we_die() -> list[str]:
    """The words before a command that have the kernel kill it when we die."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _open(files: Mapping[int, Path]) -> dict[int, int]:
    """Open ``files`` to be read; by our number the one that QEMU is to find each by.

    :raises QemuLaunchError: one cannot be.
    """
    opened: dict[int, int] = {}
    try:
        for number, path in files.items():
            opened[kept_clear(os.open(path, os.O_RDONLY | os.O_CLOEXEC))] = number
    except OSError as error:
        for number in opened:
            os.close(number)
        raise QemuLaunchError(f"QEMU did not start: {error.filename}: {error.strerror}") from None
    return opened


def _exit_of(process: subprocess.Popen[bytes]) -> asyncio.Future[int]:
    """A future of the exit status.

    asyncio's own watcher waits for the process in a thread, and whoever else asks whether it has ended
    may reap it first: the status is then lost and 255 is told instead. A pidfd has no such race.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()
    pidfd = os.pidfd_open(process.pid)

    def reap() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        if not ended.done():
            ended.set_result(process.wait())

    loop.add_reader(pidfd, reap)
    return ended


async def _give_up(qemu: QemuProcess, connecting: asyncio.Task[QmpLink]) -> None:
    """End a QEMU, and wait for a connection that nobody wants any more, to close it, if it comes at all."""
    await qemu.kill()
    with contextlib.suppress(LinkError):
        await (await connecting).close()
