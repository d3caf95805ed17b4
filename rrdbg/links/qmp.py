"""QEMU's machine protocol, as the verbs that record/replay needs, over the ``qemu.qmp`` library."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from qemu.qmp import (
    EventListener,
    ExecInterruptedError,
    ExecuteError,
    Message,
    QMPClient,
    QMPError,
    Runstate,
    StateError,
)

from rrdbg.errors import QemuDied, QmpError, Stalled

COMMAND_SECONDS = 60.0
"""How long a command may take: a snapshot of a large guest on a slow disk takes seconds."""

DUMP_SECONDS = 1800.0
"""How long writing all memory may take: 64 GiB at 40 MB/s."""

NODE_SECONDS = 5.0
"""How long a block node may take to be added."""

WAKE_MILLISECONDS = 2
"""How often the main loop of a replaying QEMU wakes up by itself; at each time an idle guest gets to its next event."""

AWAKE_SECONDS = 5.0
"""How long it does so once it is asked; longer than it ever takes until it is asked again, also on a busy host."""

# The library writes about a QEMU that died to standard error, tracebacks and all, if nobody takes its log.
logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())

_TRY_LATER = "Try once more later"


class SnapshotNotNow(QmpError):
    """QEMU cannot save here (its event queue is not empty); a little later it can."""


def refusal(failure: str) -> QmpError:
    """The error for what QEMU said when it was to save a snapshot."""
    return (SnapshotNotNow if _TRY_LATER in failure else QmpError)(f"QEMU could not save a snapshot: {failure}")


_NOT_FOR_US = (b'"event": "STOP"', b'"event": "RESUME"')


class _Client(QMPClient):
    """The library's client, fit for a guest that stops a thousand times a second, with two events each time."""

    def __init__(self) -> None:
        super().__init__("qemu")
        # The default listener would keep every event since the start.
        self.events.event_filter = lambda event: False

    async def _do_recv(self) -> Message:
        """Read on over the events of a stop, for which nobody listens, without decoding them."""
        while True:
            line = await self._readline()
            if not any(event in line for event in _NOT_FOR_US):
                return Message(line, eager=True)

    def _cb_inbound(self, msg: Message) -> Message:
        """Do not write it out for the log, as the library does even if nobody logs: 0.1 ms."""
        return msg


class QmpLink:
    """One QMP connection, made over a connected socket."""

    def __init__(self, client: QMPClient) -> None:
        self._client = client
        self._numbers = itertools.count()
        self._leaves_ram_out: bool | None = None

    @classmethod
    async def connect(cls, end: socket.socket) -> QmpLink:
        """Negotiate over ``end``, whose other end QEMU has.

        :raises QemuDied: QEMU went away before it greeted us.
        :raises Stalled: it says nothing.
        """
        client = _Client()
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                await client.connect(end)
        except TimeoutError:
            end.close()
            raise Stalled(f"QEMU did not greet us over QMP within {COMMAND_SECONDS:.0f} s.") from None
        except QMPError as error:
            end.close()
            raise QemuDied(f"QEMU did not greet us over QMP ({error}).") from error
        except BaseException:
            # Cancelled in the middle of it: the library leaves the socket to us.
            end.close()
            raise
        return cls(client)

    @property
    def connected(self) -> bool:
        """False once the connection has broken."""
        return bool(self._client.runstate is Runstate.RUNNING)

    async def execute(self, command: str, **arguments: object) -> object:
        """Run one QMP command and return its ``return`` value.

        :raises QmpError: QEMU refused it; the text is QEMU's own.
        :raises QemuDied: the connection broke.
        :raises Stalled: no answer within :data:`COMMAND_SECONDS`.
        """
        return await self._execute(command, arguments, COMMAND_SECONDS)

    async def _execute(self, command: str, arguments: Mapping[str, object], seconds: float) -> object:
        try:
            async with asyncio.timeout(seconds):
                return await self._client.execute(command, dict(arguments) or None)
        except ExecuteError as error:
            raise QmpError(f"QEMU refused {command}: {error}") from None
        except (ExecInterruptedError, StateError, EOFError, ConnectionError):
            raise QemuDied(f"QEMU ended before it answered {command}.") from None
        except TimeoutError:
            raise Stalled(f"QEMU did not answer {command} within {seconds:.0f} s.") from None

    async def add_node(self, node: Mapping[str, object]) -> None:
        """Add a block node (``blockdev-add``).

        QEMU 10 and 11 first wait until all disk requests have ended. In a replay that is for ever if the log has the
        answer to one, as it comes after an instruction that is not executed meanwhile. Else it takes milliseconds.

        :raises Stalled: it waits.
        """
        await self._execute("blockdev-add", node, NODE_SECONDS)

    async def monitor(self, line: str) -> str:
        """Run one human-monitor command and return what it printed."""
        return str(await self.execute("human-monitor-command", **{"command-line": line}))

    async def icount(self) -> int:
        """Instructions executed since the start of the recording (``query-replay``)."""
        answer = await self.execute("query-replay")
        assert isinstance(answer, Mapping)
        return int(answer["icount"])

    async def run_state(self) -> str:
        """The run state (``query-status``): ``running``, ``paused``, ``debug``, ``shutdown``, ..."""
        answer = await self.execute("query-status")
        assert isinstance(answer, Mapping)
        return str(answer["status"])

    async def keep_awake(self) -> None:
        """Have QEMU's main loop wake up every :data:`WAKE_MILLISECONDS` for the next :data:`AWAKE_SECONDS`.

        There is no command for that, but ``announce-self`` sets a timer of the host's clock, which is no part of a
        replay, to tell switches of network cards; it is told to do so for cards of a name that none has. Asked again it
        begins anew. Unlike an interval timer that QEMU inherits it ends: such a one takes 1.5 % of a processor for
        ever, also where a machine stands.
        """
        await self.execute(
            "announce-self", initial=WAKE_MILLISECONDS, max=WAKE_MILLISECONDS, step=0, id="rrdbg",
            rounds=int(AWAKE_SECONDS * 1000 / WAKE_MILLISECONDS), interfaces=["rrdbg-none"],
        )  # fmt: skip

    async def leave_ram_out(self, leave: bool) -> None:
        """Whether states that are saved or loaded lack the RAM that is in a shared file (``x-ignore-shared``)."""
        if self._leaves_ram_out == leave:
            return
        capabilities = {"x-ignore-shared": leave, "events": True}
        await self.execute(
            "migrate-set-capabilities",
            capabilities=[{"capability": name, "state": state} for name, state in capabilities.items()],
        )
        self._leaves_ram_out = leave

    async def tell_of_migration(self) -> None:
        """Have :meth:`load_state` told of events, where :meth:`leave_ram_out` was not called before."""
        await self.execute("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])

    async def load_state(self, uri: str) -> None:
        """Take the state at ``uri`` (``migrate-incoming``), for which QEMU must wait, and have it told of events.

        :raises QmpError: QEMU refuses it.
        :raises QemuDied: it cannot take it, and has ended.
        """
        with self._client.listener("MIGRATION") as events:
            await self.execute("migrate-incoming", uri=uri)
            try:
                async with asyncio.timeout(COMMAND_SECONDS):
                    async for event in events:
                        data = event["data"]
                        assert isinstance(data, Mapping)
                        if data["status"] == "completed":
                            return
                        if data["status"] == "failed":
                            break
            except TimeoutError:
                raise Stalled(f"QEMU did not load a state within {COMMAND_SECONDS:.0f} s.") from None
        raise QemuDied("QEMU could not load a state.")

    async def stop(self) -> None:
        """Stop the guest; one that is stopped stays as it is."""
        await self.execute("stop")

    async def resume(self) -> None:
        """Set a stopped guest going (``cont``)."""
        await self.execute("cont")

    async def break_at(self, icount: int) -> None:
        """Arm the one replay breakpoint (:mod:`rrdbg.links.fence`), where there is no gdbstub."""
        await self.execute("replay-break", icount=icount)

    async def delete_break(self) -> None:
        """Disarm the replay breakpoint, if there is one."""
        await self.execute("replay-delete-break")

    async def dump_memory(self, path: Path) -> None:
        """Write the guest's memory to ``path`` as an ELF core, by physical addresses; QEMU does nothing else meanwhile.

        :raises QmpError: it cannot, for example since the disk is full.
        """
        await self._execute("dump-guest-memory", {"paging": False, "protocol": f"file:{path}"}, DUMP_SECONDS)

    async def save_snapshot(self, tag: str, vmstate: str, nodes: Sequence[str]) -> None:
        """Save the guest as ``tag``, the machine's state into the node ``vmstate``.

        The job form is used, not ``savevm``: only it can choose the node.

        :raises SnapshotNotNow: QEMU says "try once more later".
        :raises QmpError: it failed for another reason, a full disk for example.
        """
        failure = await self._save(tag, vmstate, nodes)
        if failure is not None:
            raise refusal(failure)

    async def save_inside(self, tag: str) -> None:
        """Save the guest as ``tag`` in its disk images, where QEMU itself would look for it (``savevm``).

        :raises SnapshotNotNow: QEMU says "try once more later".
        :raises QmpError: it failed for another reason.
        """
        failure = (await self.monitor(f"savevm {quoted(tag)}")).strip()
        if failure:
            raise refusal(failure)

    async def check_that_snapshots_can_be_saved(self) -> None:
        """Find out beforehand, without saving one.

        It does not see a request that the host is still busy with; see :meth:`add_node` for what it is good for. QEMU
        looks at that before it looks for the nodes, and there are none of this name.

        :raises SnapshotNotNow: not here; a little later.
        """
        failure = await self._save("rrdbg-none", "rrdbg-none", ["rrdbg-none"])
        if failure is not None and _TRY_LATER in failure:
            raise SnapshotNotNow(f"QEMU could not save a snapshot: {failure}")

    async def _save(self, tag: str, vmstate: str, nodes: Sequence[str]) -> str | None:
        """Run the job; why it failed, or None."""
        # Not the tag: QEMU allows a job's name less than a snapshot's, no blanks for example.
        job = f"rrdbg-save-{next(self._numbers)}"
        with self._client.listener("JOB_STATUS_CHANGE") as events:
            await self.execute(
                "snapshot-save", **{"job-id": job, "tag": tag, "vmstate": vmstate, "devices": list(nodes)}
            )
            await _concluded(events, job)
        jobs = await self.execute("query-jobs")
        assert isinstance(jobs, list)
        failure = next((item.get("error") for item in jobs if item["id"] == job), None)
        await self.execute("job-dismiss", id=job)
        return None if failure is None else str(failure)

    @asynccontextmanager
    async def events(self, *names: str) -> AsyncIterator[EventListener]:
        """Listen for events; enter before the action that causes them."""
        with self._client.listener(names) as listener:
            yield listener

    async def quit(self) -> None:
        """Ask QEMU to end in order; a recorder then completes its log's header."""
        with contextlib.suppress(QemuDied, QmpError):
            await self.execute("quit")

    async def close(self) -> None:
        """Close the connection; harmless if QEMU has ended already."""
        with contextlib.suppress(QMPError, EOFError, ConnectionError):
            await self._client.disconnect()


def quoted(word: str) -> str:
    """``word`` as one argument of a human-monitor command."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


async def _concluded(events: EventListener, job: str) -> None:
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            async for event in events:
                data = event["data"]
                assert isinstance(data, Mapping)
                if data["id"] == job and data["status"] == "concluded":
                    return
    except TimeoutError:
        raise Stalled(f"QEMU did not finish saving a snapshot within {COMMAND_SECONDS:.0f} s.") from None
    raise QemuDied("QEMU ended while it saved a snapshot.")
