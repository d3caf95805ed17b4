"""A gdbstub over a :class:`Replay`: one packet in, one reply out, in both directions of time.

Packets and replies are those of the GDB manual's appendix "GDB Remote Serial Protocol". What is unknown gets the
empty reply, what is malformed ``E01``; an error with a sentence goes out as ``E.sentence`` where GDB shows it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass

from rrdbg.commands.help import COMMANDS
from rrdbg.commands.session import Session
from rrdbg.engine.machines.progress import Progress, ProgressListener
from rrdbg.errors import Interrupted, QemuDied, RrdbgError, RspError, UsageError
from rrdbg.frontends.server.conditions import Conditions
from rrdbg.frontends.server.fixed import FIXED
from rrdbg.frontends.server.floor import BUSY, LASTING, MOVED, WITHOUT_GUEST, Floor
from rrdbg.frontends.server.packets import PACKET_SIZE, number
from rrdbg.frontends.server.points import PointSet
from rrdbg.frontends.server.second_step import SecondStep
from rrdbg.frontends.server.stops import INTERRUPTED, QUIET, TRAP, ClientFeatures, stop_reply
from rrdbg.frontends.server.what_if import WhatIf
from rrdbg.links.layouts import Layout, layouts
from rrdbg.model.hits.address_space import AddressSpace
from rrdbg.model.hits.stop import Breakpoint, Hit, StopReason, Watchpoint
from rrdbg.model.program.code_mode import CodeMode, CodeSegment, described_as
from rrdbg.model.timeline.position import Position
from rrdbg.render.text import render, value_text

_MALFORMED = b"E01"
_NOT_MAPPED = b"E14"
_WITHOUT_WORDS = (b"g", b"p")
"""What GDB understands no error's words in reply to."""
_FEATURES = (
    f"PacketSize={PACKET_SIZE:x}", "qXfer:features:read+", "vContSupported+", "QStartNoAckMode+", "ReverseStep+",
    "ReverseContinue+", "ConditionalBreakpoints+", "binary-upload+",
)  # fmt: skip
AT_ONCE_SECONDS = 0.3
"""What begins sooner after a Ctrl-C is no new command of the user's."""
_QUIET_SECONDS = 2.0
"""After so long, and then as often, a monitor command says how far it is: only then GDB minds a Ctrl-C."""
_WORDS = ("swbreak", "hwbreak", "multiprocess")
_REFUSED = (
    "The guest is a recording, in which nothing can be changed; 'monitor what-if on' starts one that can be changed."
)
_NOT_PHYSICAL = (
    "In a what-if watchpoints are on virtual addresses, and physical memory is only read; turn it off by "
    "'maintenance packet Qqemu.PhyMemMode:0', and watch the place by an address that is mapped to it."
)
_LOOK_AGAIN = (
    "GDB does not know that the guest has changed; enter: maintenance flush register-cache, and: "
    "maintenance flush dcache\n"
)

Handler = Callable[[bytes], Awaitable[bytes | None]]


@dataclass(slots=True)
class Aftermath:
    """How the last movement ended, and what went wrong since somebody looked; GDB does not pass all of it on."""

    reason: StopReason = StopReason.STEP
    hits: Sequence[Hit] = ()
    failure: RrdbgError | None = None


class Stub:
    """Answers packets; ``say`` sends text to the client's console before the reply.

    ``number`` is by what a control channel names this client.
    """

    def __init__(self, floor: Floor, say: Callable[[str], None], *, looks_again: bool = False, number: int = 1) -> None:
        self.replay = replay = floor.replay
        self.session = Session(replay, what_if=self._switch)
        self.window = floor.window
        self._shared = floor.shared
        self.points = PointSet()
        self._second_step = SecondStep(replay.recording.manifest.invocation.architecture)
        self._said: int | None = None
        self._say = say
        self.lookers = int(looks_again)
        """How many see to it that the client looks at the guest anew when a command has changed it."""
        self._features = ClientFeatures()
        self._what_if: WhatIf | None = None
        self._seen = self.state
        if not floor.shared:
            self.speak_here()
        self._physical = False
        self._layout = ""
        self._layouts: dict[str, Layout] | None = None
        self._interrupted_at = -math.inf
        self.halted = False
        """True while nothing may move, since what the client does is being ended: it may be a script of movements."""
        self.aftermath = Aftermath()
        """What became of what the client asked for last, for a front end whose own GDB the client is."""
        self.commanding = False
        """True while a monitor command is carried out."""
        self.unsaid = ""
        """Why the client's last write to memory was refused, for which a GDB has a sentence of its own.

        A front end that knows of this says it at once, and empties it; else it is said as soon as a GDB lets us.
        """
        self._handlers: dict[bytes, Handler] = {
            **{name: self._fixed(answer) for name, answer in FIXED.items()},
            b"qSupported": self._supported, b"qXfer:features:read:": self._description, b"qRcmd,": self._monitor,
            b"qC": self._current, b"qfThreadInfo": self._threads, b"qThreadExtraInfo,": self._place,
            b"qRrdbg.control": self._fixed(str(number).encode()), b"qRrdbg.mode": self._mode,
            b"QRrdbg.layout:": self._set_layout, b"qRrdbg.described": self._described_as,
            b"qqemu.PhyMemMode": self._physical_mode, b"Qqemu.PhyMemMode:": self._set_physical,
            b"vCont;": self._vcont, b"bs": self._step_back, b"bc": self._run_back, b"?": self._state,
            b"k": self._no_reply, b"T": self._thread, b"Z": self._insert, b"z": self._remove,
            b"g": self._registers, b"p": self._register, b"m": self._memory, b"x": self._binary,
            b"c": self._run, b"C": self._run, b"s": self._step, b"S": self._step, b"G": self._refuse,
            b"P": self._refuse, b"M": self._refuse_memory, b"X": self._refuse_memory,
        }  # fmt: skip

    async def reset(self) -> None:
        """A client has gone: forget its points and modes and its what-if, keep the position."""
        self.points.clear()
        await self._end_what_if()
        self._features = ClientFeatures()
        self._second_step.forget()
        self._physical = False
        self._layout = self.unsaid = ""
        self._interrupted_at = -math.inf

    @property
    def in_what_if(self) -> bool:
        """True while the packets go to a guest that may be changed."""
        return self._what_if is not None

    @property
    def moving(self) -> bool:
        """True while the guest moves, when the task that awaits :meth:`answer` may be cancelled."""
        running = self._what_if is not None and self._what_if.running
        return self.replay.moving or running or self.session.interruptible

    @property
    def beat(self) -> object:
        """Another value whenever something was done that a client waits for; a what-if runs for as long as it likes."""
        if self._what_if and self._what_if.running:
            return object()
        return self.replay.position, self.replay.reports

    @property
    def state(self) -> tuple[Position, WhatIf | None]:
        """What is another one after a client must look at the guest anew."""
        return self.replay.position, self._what_if

    def jumped_from(self, before: tuple[Position, WhatIf | None]) -> None:
        """A command may have moved the cursor: then watchpoints mean the address space there, whoever has set them."""
        if self.state != before:
            self.replay.spaces.forget()

    @contextmanager
    def progress(self, listener: ProgressListener) -> Iterator[None]:
        """Tell ``listener`` meanwhile how far a movement is."""
        before, self.replay.on_progress = self.replay.on_progress, listener
        try:
            yield
        finally:
            self.replay.on_progress = before

    def interrupt(self) -> None:
        """The client wants a movement to end, while none is under way: the next one does so, if it begins at once.

        It may be about to begin, or have ended a moment ago without telling the user: GDB steps off breakpoints, and
        goes on where a condition that it judges itself is false.
        """
        self._interrupted_at = time.monotonic()

    async def answer(self, packet: bytes) -> bytes | None:
        """The reply to ``packet``, or None if there is to be none."""
        name = self._name(packet)
        if name is None:
            return b""
        if name not in WITHOUT_GUEST:
            self.speak_here()
        exact = name in (b"?", b"g", b"k", b"bs", b"bc", b"qC", b"QStartNoAckMode", b"vCont?")
        if exact and packet != name:
            return b""
        try:
            try:
                return await self._obey(packet, name)
            except QemuDied:
                # It was alive a moment ago; whoever only reads gets another one.
                return await self._obey(packet, name)
        except (UsageError, ValueError):
            return _MALFORMED
        except RrdbgError as error:
            self.aftermath.failure = error
            return _MALFORMED if name in _WITHOUT_WORDS else b"E." + str(error).encode()

    def _name(self, packet: bytes) -> bytes | None:
        return next((name for name in self._handlers if packet.startswith(name)), None)

    def needs_floor(self, packet: bytes) -> bool:
        """Whether ``packet`` is about the guest; what it asks else is answered also while somebody moves that."""
        return self._name(packet) not in WITHOUT_GUEST

    def may_last(self, packet: bytes) -> bool:
        """Whether the client waits for the answer to ``packet`` however long it takes."""
        return self._name(packet) in LASTING

    def busy(self, packet: bytes) -> bytes:
        """The answer to ``packet`` while another client moves the guest, for longer than this one waits."""
        return _MALFORMED if packet.startswith(_WITHOUT_WORDS) else b"E." + BUSY.encode()

    def speak_here(self) -> None:
        """What the engine has to say of watchpoints goes to this client from now on."""
        self.replay.spaces.on_meant = self._say_meant

    def seen(self) -> None:
        """The client knows how the guest is now."""
        self._seen = self.state

    async def _obey(self, packet: bytes, name: bytes) -> bytes | None:
        if self._what_if and WhatIf.takes(packet):
            return await self._divert(self._what_if, packet, name)
        moves = WhatIf.moves(packet)
        if moves and self._second_step.is_next(packet, self.points, self.state):
            return self._features.stop(TRAP)
        answer = await self._handlers[name](packet[len(name) :])
        if moves and answer:
            self._second_step.replied(answer, self.state)
        return answer

    def _fixed(self, answer: bytes) -> Handler:
        async def handler(_: bytes) -> bytes:
            return answer

        return handler

    async def _refuse(self, _: bytes) -> bytes:
        self.aftermath.failure = UsageError(_REFUSED)
        return b"E." + _REFUSED.encode()

    async def _refuse_memory(self, rest: bytes) -> bytes:
        self.unsaid = _REFUSED
        return await self._refuse(rest)

    def _say_unsaid(self) -> None:
        """Tell why memory was not written: GDB takes words only while the guest moves, or a command is carried out."""
        if self.unsaid:
            self._say(f"rrdbg: memory was not written. {self.unsaid}\n")
        self.unsaid = ""

    async def _no_reply(self, _: bytes) -> None:
        return None

    # What GDB asks first

    async def _supported(self, rest: bytes) -> bytes:
        wanted = rest.lstrip(b":").split(b";")
        if wanted != [b""]:  # else only an extension of GDB's asks, which has told before what it knows
            self._features = ClientFeatures(**{word: f"{word}+".encode() in wanted for word in _WORDS})
            self._second_step.client(wanted)
        known = asdict(self._features)
        return ";".join([*_FEATURES, *(f"{word}+" for word in _WORDS if known[word])]).encode()

    async def _current(self, _: bytes) -> bytes:
        return f"QC{self._features.thread}".encode()

    async def _threads(self, _: bytes) -> bytes:
        return f"m{self._features.thread}".encode()

    async def _state(self, _: bytes) -> bytes:
        self.seen()
        return self._features.stop(TRAP)

    async def _description(self, rest: bytes) -> bytes:
        name, _, span = rest.decode().rpartition(":")
        start, length = map(number, span.split(","))
        text = (await self._shown_layout()).documents.get(name)
        if text is None:
            return b"E00"
        part = text.encode()[start : start + min(length, PACKET_SIZE - 64)]
        return (b"m" if start + len(part) < len(text.encode()) else b"l") + part

    async def _place(self, _: bytes) -> bytes:
        here, end = self.replay.position, self.replay.timeline.end
        if self._what_if:
            return f"what-if from {here}".encode().hex().encode()
        return f"at {here} of {end} ({here.percent(end):.1f}%)".encode().hex().encode()

    async def _thread(self, rest: bytes) -> bytes:
        process, _, thread = rest.removeprefix(b"p").rpartition(b".")
        return b"OK" if number(thread) == 1 and number(process or b"1") == 1 else _MALFORMED

    async def _physical_mode(self, _: bytes) -> bytes:
        return b"1" if self._physical else b"0"

    async def _set_physical(self, rest: bytes) -> bytes:
        self._physical = number(rest) != 0
        return b"OK"

    # Reading

    async def _registers(self, _: bytes) -> bytes:
        self.seen()
        return (await self._shown_layout()).shown(await self.window.register_packet(), await self.code_segment())

    async def _register(self, rest: bytes) -> bytes:
        layout, segment = await self._shown_layout(), await self.code_segment()
        shown = layout.register(await self.window.register_packet(), segment, number(rest))
        if shown is None and not self._layout:  # else numbers are not QEMU's
            shown = await (await self.replay.machine()).register_digits(number(rest))
        return shown or _MALFORMED

    async def code_segment(self) -> CodeSegment | None:
        """How the CPU that the client sees reads its code; None where there is one way only."""
        return await self._what_if.code_segment() if self._what_if else await self.window.code_segment()

    @property
    def layout(self) -> str:
        """The architecture whose picture of the CPU the client wants, by GDB's name; empty for QEMU's own."""
        return self._layout

    async def _shown_layout(self) -> Layout:
        if self._layouts is None:
            machine = await self.replay.machine()
            self._layouts = layouts(machine.description, machine.register_file)
        return self._layouts[self._layout]

    async def _mode(self, _: bytes) -> bytes:
        segment = await self.code_segment()
        return segment.mode.encode() if segment else b""

    async def _described_as(self, _: bytes) -> bytes:
        return (described_as(self.replay.recording.manifest.invocation.architecture) or "").encode()

    async def _set_layout(self, rest: bytes) -> bytes:
        await self._shown_layout()
        name = rest.decode()
        if name not in (self._layouts or ()):
            return _MALFORMED
        self._layout = name
        return b"OK"

    async def _memory(self, rest: bytes) -> bytes:
        try:
            return (await self._read(rest)).hex().encode()
        except RspError:
            return _NOT_MAPPED

    async def _binary(self, rest: bytes) -> bytes:
        try:
            return b"b" + await self._read(rest)
        except RspError:
            return _NOT_MAPPED

    async def _read(self, rest: bytes) -> bytes:
        address, length = map(number, rest.split(b","))
        length = min(length, (PACKET_SIZE - 64) // 2)
        if self._physical:
            return await self.replay.read_physical(address, length)
        return await self.window.read_memory(address, length)

    # Points

    async def _insert(self, rest: bytes) -> bytes:
        if self._physical and self._what_if and not rest.startswith((b"0", b"1")):
            self.aftermath.failure = UsageError(_NOT_PHYSICAL)
            return b"E." + _NOT_PHYSICAL.encode()
        try:
            self.points.insert(rest, physical=self._physical)
        except UsageError as error:
            # GDB only says that it could not.
            self.aftermath.failure = error
            raise
        return b"OK"

    async def _remove(self, rest: bytes) -> bytes:
        self.points.remove(rest)
        return b"OK"

    # Moving

    async def _vcont(self, rest: bytes) -> bytes | None:
        action = rest.split(b";")[0].partition(b":")[0]
        if action[:1] in (b"c", b"C"):
            return await self._run(b"")
        return await self._step(b"") if action[:1] in (b"s", b"S") else _MALFORMED

    async def _step(self, rest: bytes) -> bytes:
        return _MALFORMED if rest else await self._moved(self._forward_step)

    async def _step_back(self, _: bytes) -> bytes:
        return await self._moved(self._backward_step)

    async def _run(self, rest: bytes) -> bytes:
        return _MALFORMED if rest else await self._moved(self._forward_run)

    async def _run_back(self, _: bytes) -> bytes:
        return await self._moved(self._backward_run)

    async def _forward_step(self) -> bytes:
        return await self._stopped(*await self.window.step(self.points.watchpoints))

    async def _backward_step(self) -> bytes:
        return await self._stopped(*await self.window.step_back(self.points.watchpoints))

    async def _forward_run(self) -> bytes:
        stop = await self.replay.cont(self.points.points, self._accept())
        return await self._stopped(stop.reason, stop.hits)

    async def _backward_run(self) -> bytes:
        return await self._stopped(*await self.window.reverse_cont(self.points.points, self._accept()))

    async def _stopped(self, reason: StopReason, hits: Sequence[Hit]) -> bytes:
        for hit in hits:
            await self._say_space(hit)
            if hit.unwritten:
                self._say(f"rrdbg: {hit.unwritten.cause}\n")
            if hit.point.number > 0:
                # Set by a monitor command: GDB knows nothing of it, and shows a SIGTRAP.
                values = f", {value_text(hit.change.before)} -> {value_text(hit.change.after)}" if hit.change else ""
                self._say(f"rrdbg: {hit.point}{values}\n")
        self.aftermath.reason, self.aftermath.hits = reason, hits
        return stop_reply(reason, hits, self.points, self._features)

    def _say_meant(self, point: Watchpoint, space: AddressSpace) -> None:
        self._say(
            f"rrdbg: the {point.kind} of {point.address:#x} counts in address space {space}, which is in use here; "
            "'monitor address-space everywhere' has it count in all.\n"
        )

    async def _say_space(self, hit: Hit) -> None:
        """Say in which address space a process's breakpoint was hit, where that is another one than the last time.

        A watchpoint is hit in the one that it is meant in.
        """
        if isinstance(hit.point, Breakpoint) and self.replay.machine_position == self.replay.position:
            space = await self.replay.space_of(hit.point.address)
            if space and space.root != self._said:
                self._said = space.root
                self._say(f"rrdbg: in address space {space}\n")

    def _accept(self) -> Conditions | None:
        return Conditions(self.points) if self.points.conditional else None

    async def _moved(self, movement: Callable[[], Awaitable[bytes]]) -> bytes:
        """The stop reply of a movement; whatever happens, GDB gets one, since it believes that the guest runs."""
        self._say_unsaid()
        try:
            return await self._attempted(movement)
        finally:
            self.seen()

    async def _attempted(self, movement: Callable[[], Awaitable[bytes]]) -> bytes:
        if self.halted or time.monotonic() - self._interrupted_at < AT_ONCE_SECONDS:
            self._interrupted_at = -math.inf
            self.aftermath.failure = Interrupted(f"Interrupted at {self.replay.position}.")
            return self._features.stop(INTERRUPTED)
        if self._shared and self.state != self._seen:
            # GDB takes the guest to stand where it has last seen it, and what it wants next is about that place.
            self._say(MOVED.format(here=self.replay.position))
            return self._features.stop(QUIET)
        try:
            return await movement()
        except Interrupted as error:
            self.aftermath.failure = error
            return self._features.stop(INTERRUPTED)
        except RrdbgError as error:
            self.aftermath.failure = error
            self._say(f"rrdbg: {error}\n")
            # A GDB that is told of a stop, and then can read no registers, waits for another one, for ever.
            return self._features.gone if self.replay.lost else self._features.stop(QUIET)

    # What-if

    async def _switch(self, on: bool) -> None:
        if on and self._what_if is None:
            if self.replay.held:
                raise UsageError(self.replay.held)
            self._what_if = await WhatIf.start(self.replay, self.points)
        elif not on:
            await self._end_what_if()

    async def _end_what_if(self) -> None:
        if self._what_if:
            what_if, self._what_if = self._what_if, None
            await what_if.end(self.replay)

    async def _divert(self, what_if: WhatIf, packet: bytes, name: bytes) -> bytes:
        if what_if.moves(packet):
            return await self._moved(lambda: what_if.run(packet, self.points, self._features))
        if name in (b"Z", b"z", b"Qqemu.PhyMemMode:"):
            # They are for both: the client does not say them again when the what-if ends.
            answer = await self._handlers[name](packet[len(name) :])
            if answer != b"OK":
                return answer or b""
        segment = await what_if.code_segment()
        plain = segment is None or (segment.mode is CodeMode.BITS64 and self._layout in ("", CodeMode.BITS64))
        if segment is None or plain or name not in (b"g", b"p", b"G", b"P"):
            return await what_if.answer(packet)
        layout = await self._shown_layout()
        if name == b"g":
            return layout.shown(await what_if.answer(packet), segment)
        if name == b"p":
            return layout.register(await what_if.answer(b"g"), segment, number(packet[1:])) or _MALFORMED
        # GDB writes all registers at once only where it cannot write one.
        return _MALFORMED if name == b"G" else await what_if.answer(layout.written(packet[1:], segment))

    # Commands

    async def _monitor(self, rest: bytes) -> bytes:
        line = bytes.fromhex(rest.decode()).decode(errors="replace").strip()
        self._say_unsaid()
        before = self.state
        self.commanding = True
        try:
            with self.progress(self._reporter()):
                async with aclosing(COMMANDS.run(self.session, COMMANDS.monitored(line))) as results:
                    async for result in results:
                        self._say(render(result) + "\n")
        except RrdbgError as error:
            self._say(f"{error}\n")
        finally:
            self.commanding = False
        self.jumped_from(before)
        self.seen()
        if self.state != before and not self.lookers:
            # GDB has not seen the guest change, and holds on to what it knows.
            self._say(_LOOK_AGAIN)
        return b"OK"

    def _reporter(self) -> ProgressListener:
        said = time.monotonic()

        def report(progress: Progress) -> None:
            nonlocal said
            if time.monotonic() - said >= _QUIET_SECONDS:
                said = time.monotonic()
                self._say(f"at {progress.icount:,}: {100 * progress.share:.0f}% done (Ctrl-C stops)\n")

        return report
