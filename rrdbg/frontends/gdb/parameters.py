"""``set rrdbg ...`` and ``show rrdbg ...``."""

from __future__ import annotations

from collections.abc import Callable

import gdb

from rrdbg.errors import RrdbgError


class Switch(gdb.Parameter):
    """A setting that is on or off; ``change`` is told of the new value, and refuses it by raising an RrdbgError."""

    def __init__(self, name: str, text: str, change: Callable[[bool], None] = lambda on: None) -> None:
        self.__doc__ = self.set_doc = self.show_doc = text
        self._name = name
        self._change = change
        self._was = False
        super().__init__(f"rrdbg {name}", gdb.COMMAND_SUPPORT, gdb.PARAM_BOOLEAN)
        self.value = False

    def get_set_string(self) -> str:
        """What GDB calls when the value was set."""
        wanted = bool(self.value)
        try:
            self._change(wanted)
        except RrdbgError as error:
            self.value = self._was
            raise gdb.GdbError(str(error)) from None
        self._was = wanted
        return ""

    def get_show_string(self, value: str) -> str:
        """What GDB calls."""
        return f"rrdbg {self._name} is {value}."


class Words(gdb.Parameter):
    """A setting that is a line of text, ``initial`` at first; ``change`` is as for :class:`Switch`."""

    def __init__(self, name: str, text: str, initial: str, change: Callable[[str], None] = lambda words: None) -> None:
        self.__doc__ = self.set_doc = self.show_doc = text
        self._name = name
        self._change = change
        self._was = initial
        super().__init__(f"rrdbg {name}", gdb.COMMAND_SUPPORT, gdb.PARAM_STRING)
        self.value = initial

    def get_set_string(self) -> str:
        """What GDB calls when the value was set."""
        wanted = str(self.value)
        try:
            self._change(wanted)
        except RrdbgError as error:
            self.value = self._was
            raise gdb.GdbError(str(error)) from None
        self._was = wanted
        return ""

    def get_show_string(self, value: str) -> str:
        """What GDB calls."""
        return f"rrdbg {self._name} is: {value}"


class SetPrefix(gdb.Command):
    """Settings of rrdbg."""

    def __init__(self) -> None:
        super().__init__("set rrdbg", gdb.COMMAND_SUPPORT, prefix=True)


class ShowPrefix(gdb.Command):
    """Show the settings of rrdbg."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        super().__init__("show rrdbg", gdb.COMMAND_SUPPORT, prefix=True)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """What GDB calls where no setting is named."""
        if argument:
            raise gdb.GdbError(f"There is no setting 'rrdbg {argument}'; 'show rrdbg' lists them.")
        for name in self._names:
            gdb.execute(f"show rrdbg {name}")
