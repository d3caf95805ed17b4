"""Puts the extension together."""

from __future__ import annotations

import contextlib

import gdb

from rrdbg.errors import RrdbgError, UsageError
from rrdbg.frontends.gdb import debug_adapter
from rrdbg.frontends.gdb.aliases import Aliases
from rrdbg.frontends.gdb.caches import Caches, hook_monitor
from rrdbg.frontends.gdb.callers import Callers
from rrdbg.frontends.gdb.channel import Channel
from rrdbg.frontends.gdb.client import Client
from rrdbg.frontends.gdb.commands import Prefix, RrdbgCommand, Runner
from rrdbg.frontends.gdb.conditions import Conditions
from rrdbg.frontends.gdb.declared import Vocabulary
from rrdbg.frontends.gdb.kernel import KernelMover
from rrdbg.frontends.gdb.machine_interface import MachineInterface
from rrdbg.frontends.gdb.modes import Modes
from rrdbg.frontends.gdb.notices import Notices
from rrdbg.frontends.gdb.opener import Opener, default_program
from rrdbg.frontends.gdb.parameters import SetPrefix, ShowPrefix, Switch, Words
from rrdbg.frontends.gdb.prompt import Prompt
from rrdbg.frontends.gdb.values import At, InTask, Now, Variables

_PREFIX = "Walk through a recorded guest in both directions of time.\n'rrdbg open RECORDING' begins."
_OPEN = (
    "Open a recording: start its server, read the recorded kernel's symbols, connect.\n"
    "Usage: rrdbg open [RECORDING]\n\n"
    "RECORDING is a directory or a name in the library; the latest one if none is named. The options of 'rrdbg serve' "
    "may follow.\n\nExamples:\n  rrdbg open heapbug-1"
)
_LOOK_AGAIN = (
    "Make GDB read the guest anew.\nUsage: rrdbg look-again\n\n"
    "Only needed if something else than GDB has moved the guest, and in a hook of yours after 'monitor'."
)
_LOOK_AS = (
    "Have GDB see an x86 CPU in the mode that it is in, or as QEMU describes it.\n"
    "Usage: rrdbg look-as here|described|needed\n\n"
    "'needed' is 'described' if there is a watchpoint, a condition, or a breakpoint that only 64-bit code can reach. "
    "Only needed in hooks of yours: 'rrdbg look-as needed' in one before a command that moves the guest, such as "
    "hook-continue, 'described' and 'here' in those before and after one that sets a breakpoint."
)
_WAY_OUT = (
    "Say how to get to the caller, where GDB finds none for a function that it does not know.\n"
    "Usage: rrdbg way-out\n\n"
    "Done by itself before 'finish' and 'up'; only needed in hooks of yours for these."
)
_SETTINGS = {
    "aliases": "Short names: 'seek' for 'rrdbg seek', and so on, where GDB has no command that answers to them.",
    "program": "The command line of the rrdbg that 'rrdbg open' starts.",
    "prompt": "Whether the prompt begins with the position, as in: 37% 538,112,334 (gdb)",
    "stop-position": "Whether each stop is followed by its position.",
    "task": "The task of a Linux guest, by its name or number, while which alone points count; all: while any runs.",
    "what-if": "Whether the guest may be changed and runs freely, in a copy that is thrown away.",
}


def install() -> None:
    """Add commands, parameters, functions and MI commands to this GDB, which holds on to them."""
    Extension()


class Extension:
    """All of it, and what it does at each stop and prompt."""

    def __init__(self) -> None:
        vocabulary = Vocabulary.shipped()
        self.client = Client()
        self.client.on_channel = self._met
        # First of all: who learns of a change then finds GDB's caches empty.
        self._modes = Modes(self.client)
        self.client.on_change(Caches(self._modes.follow).forget)
        self._variables = Variables(self.client)
        self._runner = Runner(self.client, vocabulary)
        self._mi = MachineInterface(self.client)
        self._aliases = Aliases()
        self._prompt = Prompt(self.client)
        self._kernel = KernelMover(self.client)
        self._add_parameters()
        self._add_commands(vocabulary)
        At(self.client)
        Now(self.client)
        InTask(self.client)
        if debug_adapter.is_spoken():
            debug_adapter.add_requests()
            self.client.on_jump(debug_adapter.announce_jump)
        Conditions(self.client)
        gdb.events.stop.connect(self._stopped)
        gdb.events.before_prompt.connect(self._before_prompt)
        hook_monitor()

    def _add_parameters(self) -> None:
        SetPrefix()
        ShowPrefix(tuple(_SETTINGS))
        Switch("aliases", _SETTINGS["aliases"], self._switch_aliases)
        self._program = Words("program", _SETTINGS["program"], default_program())
        Switch("prompt", _SETTINGS["prompt"], self._prompt.switch)
        self._stop_position = Switch("stop-position", _SETTINGS["stop-position"])
        Words("task", _SETTINGS["task"], "all", self._keep_to_task)
        Switch("what-if", _SETTINGS["what-if"], self._switch_what_if)

    def _add_commands(self, vocabulary: Vocabulary) -> None:
        opener = Opener(self.client, lambda: str(self._program.value))
        Prefix("rrdbg", _PREFIX)
        RrdbgCommand("open", _OPEN, opener.open)
        RrdbgCommand("look-again", _LOOK_AGAIN, lambda _: self.client.look_again())
        # It repeats what the user has typed: where it is a hook of that, an empty line is to repeat that, too.
        RrdbgCommand("look-as", _LOOK_AS, self._modes.look_as, repeats=True)
        callers = Callers(self.client)
        RrdbgCommand("way-out", _WAY_OUT, lambda _: callers.tell(), repeats=True)
        self._runner.add(vocabulary)
        self._mi.add(vocabulary)
        self._mi.add_open(opener.open)

    def _met(self, channel: Channel) -> None:
        """A server may be newer than this file, and know commands that it does not."""
        declared = Vocabulary.read(channel.declarations)
        self._runner.add(declared)
        self._mi.add(declared)
        self._variables.refresh()
        if channel.shared:
            Notices(channel, lambda: self._noticed(channel))

    def _noticed(self, channel: Channel) -> None:
        """Another client has moved the guest."""
        with contextlib.suppress(RrdbgError):
            if self.client.find() is channel:
                gdb.write(f"\nrrdbg: another client has moved the cursor, to {channel.place.text}.\n")
                self.client.look_again()

    def _stopped(self, event: gdb.StopEvent) -> None:
        """GDB has moved the guest, or was just connected."""
        try:
            if self.client.find() is None:
                return
            self._modes.follow()
            self._kernel.place()
            place = self.client.stopped()
        except RrdbgError as error:
            gdb.write(f"rrdbg: {error}\n", gdb.STDERR)
            return
        self._variables.refresh()
        if self._stop_position.value:
            gdb.write(f"At {place.text} ({place.percent:.1f}%).\n")

    def _before_prompt(self, *_: object) -> None:
        """The last chance to find that somebody else has moved the guest, or that a Ctrl-C ended a monitor command."""
        # A target that has gone, or runs, is GDB's to tell about.
        with contextlib.suppress(RrdbgError):
            if self.client.find():
                self._modes.settle()
                self.client.place(lambda why: gdb.write(f"rrdbg: {why}\n", gdb.STDERR))
                self._kernel.place()

    def _switch_aliases(self, on: bool) -> None:
        if not on:
            raise UsageError("GDB cannot forget a name; start it anew without 'set rrdbg aliases on'.")
        self._aliases.make(name for name in self._runner.vocabulary.names)

    def _keep_to_task(self, name: str) -> None:
        self.client.run(f"task-scope {name or 'all'}")

    def _switch_what_if(self, on: bool) -> None:
        self.client.run(f"what-if {'on' if on else 'off'}")
