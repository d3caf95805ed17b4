"""``rrdbg open``: start a server on a recording, and connect GDB to it."""

from __future__ import annotations

import atexit
import os
import select
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import gdb

from rrdbg.errors import LinkError, RrdbgError, UsageError
from rrdbg.frontends.gdb.channel import Channel, Json, Watcher
from rrdbg.frontends.gdb.client import Client, be_patient
from rrdbg.frontends.gdb.progress import ProgressLine

_START_SECONDS = 120.0
_END_SECONDS = 10.0
_TURN_SECONDS = 0.2


class Opener:
    """Starts servers; there is one at a time, and none is left when GDB ends.

    ``program`` tells the command line of rrdbg.
    """

    def __init__(self, client: Client, program: Callable[[], str]) -> None:
        self._client = client
        self._program = program
        self._server: subprocess.Popen[bytes] | None = None
        atexit.register(self._end)

    def open(self, arguments: str) -> None:
        """Open the recording that ``arguments`` name, as those of ``rrdbg serve`` do.

        :raises RrdbgError: it cannot be opened.
        :raises gdb.error: GDB cannot connect, or the user did not let go of what was debugged.
        """
        if self._client.find():
            gdb.execute("disconnect", to_string=True)
        self._end()
        try:
            address = self._start(_words(arguments))
            channel = Channel(address)
            _load_symbols(channel)
            if channel.architecture:
                # The kernel's file may be for another mode than that in which QEMU describes the CPU.
                gdb.execute(f"set architecture {channel.architecture}", to_string=True)
            _connect(address)
            self._client.adopt(channel)
        except BaseException:
            self._end()
            raise
        place = channel.place
        gdb.write(f"{channel.recording}: {place.end:,} instructions; the cursor is at {place.text}.\n")

    def _start(self, arguments: list[str]) -> str:
        words = [*_words(self._program()), "serve", *arguments, "--until-eof", "--listen", "unix"]
        try:
            # Its own session: a Ctrl-C on the terminal is for GDB. When GDB ends, however it does, the pipe closes.
            self._server = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True, env=_environment(),
            )  # fmt: skip
        except OSError as error:
            raise LinkError(f"Cannot start '{words[0]}': {error.strerror}; 'set rrdbg program' names rrdbg.") from None
        said = self._first_line(self._server)
        _, served, address = said.rpartition(" target remote ")
        if not served:
            raise RrdbgError(said.removeprefix("rrdbg: ") or f"'{shlex.join(words)}' ended without a word.")
        return address

    @staticmethod
    def _first_line(server: subprocess.Popen[bytes]) -> str:
        assert server.stdout is not None, "it is a pipe"
        deadline = time.monotonic() + _START_SECONDS
        said = b""
        while b"\n" not in said:
            if select.select((server.stdout,), (), (), _TURN_SECONDS)[0]:
                data = os.read(server.stdout.fileno(), 4096)
                if not data:
                    break
                said += data
            elif time.monotonic() > deadline:
                raise LinkError(f"rrdbg's server did not start within {_START_SECONDS:.0f} s.")
        return said.decode(errors="replace").strip().partition("\n")[0]

    def _end(self) -> None:
        """End the server, and let the recording go."""
        server, self._server = self._server, None
        if server:
            for pipe in (server.stdin, server.stdout):
                assert pipe is not None, "both are pipes"
                pipe.close()
            try:
                server.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def default_program() -> str:
    """The rrdbg that this file belongs to: its environment's interpreter, or what is on PATH."""
    package = Path(__file__).resolve().parents[2]
    # In a checkout .venv lies beside it; an environment has it in lib/pythonX.Y/site-packages.
    for environment in (package.parent / ".venv", *package.parents[3:4]):
        python = environment / "bin" / "python"
        if python.exists():
            return f"{shlex.quote(str(python))} -m rrdbg"
    return shutil.which("rrdbg") or "rrdbg"


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"'{text}' cannot be taken apart: {error}.") from None


def _environment() -> dict[str, str]:
    """The environment without what is for GDB's own Python, which may be another one."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONEXECUTABLE")}


def _connect(address: str) -> None:
    be_patient()
    try:
        gdb.execute(f"target remote {address}")
    except gdb.error as error:
        connection = gdb.selected_inferior().connection
        if connection is None or connection.details != address:
            raise
        # GDB is connected; it was another extension that could not cope with the guest.
        gdb.write(f"{error}\n", gdb.STDERR)


def _load_symbols(channel: Channel) -> None:
    """Read what symbols the recording has, unless the user has named some."""
    space = gdb.current_progspace()
    if space and space.filename:
        return
    found: list[Json] = []
    with ProgressLine() as progress:
        answer = channel.request({"symbols": True}, Watcher(found.append, progress.show))
    if answer.error:
        # Without names the guest can be debugged all the same.
        gdb.write(f"rrdbg: {answer.error}\n", gdb.STDERR)
    elif path := found[0]["path"]:
        gdb.execute(f'file "{path}"')
