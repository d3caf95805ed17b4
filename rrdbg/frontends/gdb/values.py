"""``$rr_icount`` and its kin, and ``$rr_at``, which evaluates an expression at another time."""

from __future__ import annotations

import gdb

from rrdbg.errors import RrdbgError
from rrdbg.frontends.gdb.channel import Place
from rrdbg.frontends.gdb.client import Client


class Variables:
    """The convenience variables that tell the position; they are set anew when the guest stops or jumps."""

    def __init__(self, client: Client) -> None:
        self._client = client
        client.on_change(self.refresh)

    def refresh(self) -> None:
        """Set them to where the cursor was when it was last heard of."""
        place = self._client.channel.place
        gdb.set_convenience_variable("rr_icount", _wide(place.icount))
        gdb.set_convenience_variable("rr_phase", place.phase)
        gdb.set_convenience_variable("rr_percent", place.percent)
        gdb.set_convenience_variable("rr_end", _wide(place.end))


class Now(gdb.Function):
    """$rr_now (): the instruction count at the cursor, asked for anew.

    In a breakpoint's condition: $rr_icount is set only when GDB has told you of a stop.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        super().__init__("rr_now")

    def invoke(self, *arguments: gdb.Value) -> gdb.Value:
        """What GDB calls."""
        try:
            return _wide(self._client.now().icount)
        except RrdbgError as error:
            raise gdb.GdbError(str(error)) from None


class InTask(gdb.Function):
    """$rr_in_task (WHO): 1 where the task of a Linux guest runs whose name, or whose or whose process' number WHO is.

    In a breakpoint's condition GDB asks it at each stop; 'set rrdbg task' is quicker where there are many.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        super().__init__("rr_in_task")

    def invoke(self, *arguments: gdb.Value) -> int:
        """What GDB calls."""
        if len(arguments) != 1:
            raise gdb.GdbError('$rr_in_task takes a name or a number: $rr_in_task ("sh")')
        try:
            return int(self._client.is_running(_position(arguments[0])))
        except RrdbgError as error:
            raise gdb.GdbError(str(error)) from None


class At(gdb.Function):
    """$rr_at ("EXPR", POSITION): the value of EXPR at another position; the cursor is back at its place then.

    POSITION is a number or a string, in any form that 'rrdbg seek' takes. A pointer's value is that of then, but what
    it points to is read now: write $rr_at ("*pointer", POSITION).
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        super().__init__("rr_at")

    def invoke(self, *arguments: gdb.Value) -> gdb.Value:
        """What GDB calls."""
        if len(arguments) != 2:
            raise gdb.GdbError('$rr_at takes an expression and a position: $rr_at ("counter", "50%")')
        expression, position = arguments
        try:
            return self._evaluate(expression.string(), _position(position))
        except (RrdbgError, gdb.error) as error:
            raise gdb.GdbError(str(error)) from None

    def _evaluate(self, expression: str, position: str) -> gdb.Value:
        home: Place = self._client.place()
        level = gdb.selected_frame().level()
        try:
            self._client.visit(position)
            value = gdb.parse_and_eval(expression)
            value.fetch_lazy()
            return value
        finally:
            self._client.visit(home.text)
            _select_frame(level)


def _select_frame(level: int) -> None:
    frame: gdb.Frame | None = gdb.newest_frame()
    while frame and frame.level() < level:
        frame = frame.older()
    if frame:
        frame.select()


def _position(value: gdb.Value) -> str:
    if value.type.strip_typedefs().code in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_ENUM):
        return str(int(value))
    return value.string()


def _wide(number: int) -> gdb.Value:
    """``number`` with 64 bits, also where GDB takes Python's numbers for the guest's ``long`` of 32."""
    kind = gdb.selected_inferior().architecture().integer_type(64, False)
    return (gdb.Value(number >> 30).cast(kind) << 30) + gdb.Value(number & 0x3FFF_FFFF).cast(kind)
