"""What commands answer: values that a front end renders as text, as JSON or in its own way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rrdbg.model.hits.stop import Point, Stop
from rrdbg.model.linux.switches import Ran
from rrdbg.model.linux.task import ListedTask, Running
from rrdbg.model.timeline.beside import Row, Side, Sight
from rrdbg.model.timeline.bookmark import Bookmark
from rrdbg.model.timeline.clock import GuestTime
from rrdbg.model.timeline.events import EventCount, GuestEvent
from rrdbg.model.timeline.line import Timeline
from rrdbg.model.timeline.position import Position
from rrdbg.model.timeline.snapshot import Snapshot
from rrdbg.model.travel.client import Client
from rrdbg.model.travel.process import ProcessInfo, SpareLimits


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class Output:
    """What GDB printed, in its own words."""

    text: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The function at the cursor and its source line, as far as there are symbols; ``text`` is how GDB shows them."""

    function: str | None
    file: str | None
    line: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Where:
    """The cursor: its position on a timeline that ends at ``end``, the instruction there, and the guest's time.

    ``running`` is the task that runs there, in a guest whose kernel is known.
    """

    position: Position
    end: Position
    pc: int
    instruction: str = ""
    time: GuestTime | None = None
    frame: Frame | None = None
    running: Running | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """The end of a movement, and the instruction at the cursor; ``printed`` is what the guest printed on the way.

    ``frame`` is what symbols tell of the place, ``text`` what GDB printed if it made the movement, and ``running`` the
    task that runs there.
    """

    stop: Stop
    end: Position
    instruction: str = ""
    printed: str = ""
    frame: Frame | None = None
    text: str = ""
    running: Running | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """A write that changed the ``length`` bytes of a variable, with the cursor before it; the values are as they are
    shown.
    """

    expression: str
    address: int
    length: int
    before: str
    after: str
    stopped: Stopped
    cause: str = ""
    """What is known of a change that no instruction has made; the cursor is where it was not made yet."""


@dataclass(frozen=True, slots=True)
class Found:
    """One answer of a query: a place that ``seek @NUMBER`` goes to, what is there in words, and in named parts."""

    number: int
    position: Position
    text: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Bookmarks:
    """The bookmarks of a timeline that ends at ``end``, by name."""

    bookmarks: dict[str, Bookmark]
    end: Position


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of a session, by number."""

    places: dict[int, Position]
    end: Position


@dataclass(frozen=True, slots=True)
class Registers:
    """Register values by name, in the order of the target's description; ``sizes`` in bytes."""

    values: dict[str, int]
    sizes: dict[str, int]


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """One line of examined memory: its address and the formatted items."""

    address: int
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """Examined memory."""

    rows: tuple[MemoryRow, ...]


@dataclass(frozen=True, slots=True)
class PointSet:
    """A breakpoint or watchpoint that was just set."""

    point: Point


@dataclass(frozen=True, slots=True)
class Points:
    """All breakpoints and watchpoints."""

    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshots of a timeline that ends at ``end``; they take ``used`` bytes of ``budget``."""

    snapshots: tuple[Snapshot, ...]
    end: Position
    used: int
    budget: int


@dataclass(frozen=True, slots=True)
class Processes:
    """The QEMUs of a session, and what its spares may be."""

    processes: tuple[ProcessInfo, ...]
    spares: SpareLimits


@dataclass(frozen=True, slots=True)
class Clients:
    """The other sessions in this recording, which ends at ``end``."""

    clients: tuple[Client, ...]
    end: Position


@dataclass(frozen=True, slots=True)
class KnownHits:
    """What scans have found already: for each point its text, how many hits, and on what share of the recording."""

    points: tuple[tuple[str, int, float], ...]


@dataclass(frozen=True, slots=True)
class Events:
    """Events in order; ``more`` tells that the list was cut."""

    events: tuple[GuestEvent, ...]
    more: bool = False


@dataclass(frozen=True, slots=True)
class EventCounts:
    """How many events of each kind a recording has."""

    counts: tuple[EventCount, ...]


@dataclass(frozen=True, slots=True)
class ConsoleLines:
    """Lines of the guest's console, and where each begins to be printed."""

    lines: tuple[tuple[Position, str], ...]


@dataclass(frozen=True, slots=True)
class TimelineView:
    """The timeline as a line, with the cursor on it."""

    timeline: Timeline
    cursor: Position


@dataclass(frozen=True, slots=True)
class Beside:
    """Two recordings beside each other: ``alike`` events from outside come at the same places in both.

    ``rows`` are the last of these, and what comes next in each.
    """

    sides: tuple[Side, Side]
    alike: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class WaysPart:
    """Where two recordings begin to go different ways: what each is about to do ``before`` that step, and ``after``."""

    sides: tuple[Side, Side]
    before: tuple[Sight, Sight]
    after: tuple[Sight, Sight]


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """Facts about a recording, as (label, value) lines in order."""

    name: str
    facts: dict[str, str | int | float | bool | list[str]]


@dataclass(frozen=True, slots=True)
class KernelInfo:
    """The guest's kernel: its banner and build id, where its text begins, where it was found, what its types tell.

    ``addresses`` are those of some of its symbols.
    """

    banner: str
    build_id: str
    base: int | None
    seen: Position
    offsets: dict[str, int]
    addresses: dict[str, int]


@dataclass(frozen=True, slots=True)
class LoadedModule:
    """A module of the guest's kernel: where its text begins, and how many bytes it has."""

    name: str
    base: int
    size: int


@dataclass(frozen=True, slots=True)
class Modules:
    """The modules that are loaded, in the order of their loading."""

    modules: tuple[LoadedModule, ...]


@dataclass(frozen=True, slots=True)
class SymbolsAt:
    """What a debugger is to do to have the symbols of the file ``path`` where they are: GDB's command ``line``.

    It is done already where ``loaded``.
    """

    text: str
    path: str
    line: str
    loaded: bool


@dataclass(frozen=True, slots=True)
class Tasks:
    """The guest's tasks, and the one that runs."""

    tasks: tuple[ListedTask, ...]
    running: Running | None


@dataclass(frozen=True, slots=True)
class SwitchSummary:
    """Who ran between two positions, in ``count`` switches from one task to another."""

    ran: tuple[Ran, ...]
    count: int
    start: Position
    end: Position


@dataclass(frozen=True, slots=True)
class HelpText:
    """Help: a heading and its lines."""

    heading: str
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class StackFrame:
    """An ``address`` in ``function``, ``offset`` bytes behind its beginning; the name is empty where there is none."""

    address: int
    function: str = ""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class StackSample:
    """The stack at ``position``, the innermost frame first, for ``instructions`` instructions; and who runs there."""

    position: Position
    instructions: int
    frames: tuple[StackFrame, ...]
    running: Running | None = None


@dataclass(frozen=True, slots=True)
class CoveredCode:
    """A ``function`` of ``size`` bytes at ``address``, of which ``executed`` were executed, first at ``position``.

    If that is not ``exact`` it is at most some hundred instructions later.
    """

    position: Position
    function: str
    address: int
    size: int
    executed: int
    exact: bool


@dataclass(frozen=True, slots=True)
class CoveredLine:
    """A line of source that was executed, first at ``position`` or, where counts are not exact, a little later."""

    position: Position
    file: str
    line: int


Result = (
    Message
    | Output
    | Changed
    | Found
    | Bookmarks
    | Checkpoints
    | Where
    | Stopped
    | Registers
    | Memory
    | PointSet
    | Points
    | Snapshots
    | Processes
    | Clients
    | KnownHits
    | Events
    | EventCounts
    | ConsoleLines
    | TimelineView
    | Beside
    | WaysPart
    | RecordingInfo
    | KernelInfo
    | Tasks
    | Modules
    | SymbolsAt
    | SwitchSummary
    | StackSample
    | CoveredCode
    | CoveredLine
    | HelpText
)
