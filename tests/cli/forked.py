"""Starts of ``rrdbg`` that need not read it anew: a process that has read all of it forks for each.

Reading it is a third of what a short command takes, and the tests give hundreds. What runs is a process of its own
like any other, in a session of its own, with the user's environment, folder, umask and files. What depends on Python's
own start (variables that it reads, a terminal, a signal to a process' group) is tested with that.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

_ROOT = Path(__file__).parents[2]
_MOST = 1 << 18
"""Bytes of a request; an environment is smaller."""


class Forker:
    """The process that forks, and how to ask it."""

    def __init__(self) -> None:
        self._asked, answers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with answers:
            # Pipes, as a child's standard input and output are no terminals.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.cli.forked", str(answers.fileno())],
                cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[answers.fileno()],
            )  # fmt: skip

    def run(
        self, words: Sequence[str], env: dict[str, str], *, typed: str, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """What :func:`subprocess.run` does with ``rrdbg WORDS``, its output captured as text."""
        file = functools.partial(tempfile.TemporaryFile, "w+", encoding="utf-8")
        with file() as given, file() as output, file() as errors:
            given.write(typed)
            given.seek(0)
            request = json.dumps([words, env, str(Path.cwd()), _umask()]).encode()
            socket.send_fds(self._asked, [request], [one.fileno() for one in (given, output, errors)])
            pid = int(self._asked.recv(_MOST))
            self._asked.settimeout(timeout)
            try:
                status = int(self._asked.recv(_MOST))
            except TimeoutError:
                os.killpg(pid, 9)
                self._asked.settimeout(None)
                self._asked.recv(_MOST)
                raise subprocess.TimeoutExpired(words, timeout) from None
            finally:
                self._asked.settimeout(None)
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(words, status, output.read(), errors.read())

    def close(self) -> None:
        """End the process."""
        self._asked.close()
        self._process.communicate()


@functools.cache
def forker() -> Forker:
    """The one of this process, until that ends."""
    started = Forker()
    atexit.register(started.close)
    return started


def _read_all() -> None:
    """Import what any subcommand is declared in, and what they import in turn."""
    from rrdbg.frontends.cli.main import SUBCOMMANDS

    for module in dict.fromkeys(SUBCOMMANDS.values()):
        importlib.import_module(module)


def _serve(asked: socket.socket) -> None:
    """Fork for each request until nobody can ask any more; a child returns from here, too, and exits with a status."""
    while True:
        request, files, _, _ = socket.recv_fds(asked, _MOST, 3)
        if not request:
            return
        pid = os.fork()
        if not pid:
            asked.close()
            words, env, folder, mask = json.loads(request)
            _become(words, env, folder, mask, files)
        for file in files:
            os.close(file)
        asked.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        asked.send(str(os.waitstatus_to_exitcode(status)).encode())


def _umask() -> int:
    """The one of this process, which is only told to whoever sets another."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _become(words: list[str], env: dict[str, str], folder: str, mask: int, files: Sequence[int]) -> NoReturn:
    """Be ``rrdbg`` with these words; its end is that of the interpreter, with all that is to be done then."""
    from rrdbg.frontends.cli.main import main

    os.setsid()
    os.umask(mask)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.argv = ["rrdbg", *words]
    sys.exit(main())


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        _read_all()
        _serve(connection)
