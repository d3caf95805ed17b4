"""Results as text for people, in the words that GDB uses where it has them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

from rrdbg.model.hits.stop import Breakpoint, Hit, Point, StopReason, Watchpoint, within
from rrdbg.model.results import (
    Beside,
    Bookmarks,
    Changed,
    Checkpoints,
    Clients,
    ConsoleLines,
    CoveredCode,
    CoveredLine,
    EventCounts,
    Events,
    Found,
    Frame,
    HelpText,
    KernelInfo,
    KnownHits,
    Memory,
    Message,
    Modules,
    Output,
    Points,
    PointSet,
    Processes,
    RecordingInfo,
    Registers,
    Result,
    Snapshots,
    StackSample,
    Stopped,
    SwitchSummary,
    SymbolsAt,
    Tasks,
    TimelineView,
    WaysPart,
    Where,
)
from rrdbg.model.shown import shown
from rrdbg.model.size import size_text
from rrdbg.model.timeline.beside import Sight
from rrdbg.model.timeline.clock import GuestTime, format_time
from rrdbg.model.timeline.position import Position
from rrdbg.render.strip import LEGEND, NARROWEST, beside_strips, timeline_strip

_WIDTH = 100
_BYTES = re.compile(r"^(=> 0x[0-9a-f]+(?: <[^>]*>)?:\t)(?:[0-9a-f]{2} ?)+\s*\t", re.MULTILINE)


def render(result: Result, width: int = _WIDTH) -> str:
    """``result`` as one or more lines, without a newline at the end; a drawn line is ``width`` cells wide."""
    return shown(_text(result, width))


def _text(result: Result, width: int) -> str:
    match result:
        case Message(text):
            return text
        case Output(text):
            return text.rstrip("\n")
        case Where():
            return _where(result)
        case Changed(_, _, _, before, after, stopped, cause):
            values = [f"  Old value = {before}", f"  New value = {after}"]
            return "\n".join([*([cause] if cause else []), *values, _stopped(stopped)])
        case Found(number, position, text):
            return f"{f'@{number}':<5} {position!s:>15}  {text.rstrip()}"
        case Bookmarks():
            return _bookmarks(result)
        case Checkpoints(places, end):
            rows = [(str(number), str(at), f"{at.percent(end):.1f}%") for number, at in places.items()]
            return table(("Num", "Position", "%"), rows) if rows else "No checkpoints."
        case Stopped():
            return _stopped(result)
        case Registers():
            return _registers(result)
        case Memory(rows):
            return "\n".join(f"{row.address:#x}:\t" + "\t".join(row.items) for row in rows)
        case PointSet(point):
            return _capital(f"{point}.")
        case Points(points):
            return _points(points)
        case Snapshots():
            return _snapshots(result)
        case Processes():
            return _processes(result)
        case Clients(clients, end):
            listed = [
                (client.name, str(client.pid), str(client.position), f"{client.position.percent(end):.1f}%")
                for client in clients
            ]
            return table(("Client", "Pid", "Position", "%"), listed) if listed else "Nobody else is in this recording."
        case KnownHits(points):
            known = [(text, f"{count:,}", f"{share:.1%}") for text, count, share in points]
            return table(("Of", "Hits", "Known on"), known) if known else "Nothing was looked for yet."
        case Events():
            return _events(result)
        case EventCounts(counts):
            listed = [(str(item.kind), f"{item.count:,}", str(item.first), str(item.last)) for item in counts]
            return table(("Kind", "Events", "First", "Last"), listed)
        case ConsoleLines(lines):
            return "\n".join(f"{position!s:>17}  {text}" for position, text in lines) or "Nothing is printed yet."
        case TimelineView(timeline, cursor):
            return f"{timeline_strip(timeline, cursor, width)}\n{LEGEND}"
        case Beside():
            return _beside(result, width)
        case WaysPart():
            return _ways_part(result)
        case RecordingInfo(name, facts):
            return f"Recording {name}\n" + _facts(facts.items())
        case KernelInfo():
            return _kernel(result)
        case Tasks():
            return _tasks(result)
        case Modules():
            return _modules(result)
        case SymbolsAt(text, _, line, loaded):
            return text if loaded else f"{text}; in GDB: {line}"
        case SwitchSummary():
            return _switches(result)
        case StackSample():
            names = (frame.function or f"{frame.address:#x}" for frame in result.frames)
            return f"{result.position!s:>17}  {' < '.join(names)}"
        case CoveredCode():
            share = f"{result.executed} of {result.size} bytes" if result.size else ""
            return f"{result.position!s:>17}  {result.address:#x} {result.function}  {share}".rstrip()
        case CoveredLine(position, file, line):
            return f"{position!s:>17}  {file}:{line}"
        case HelpText(heading, lines):
            return "\n".join([_wrapped(heading, width), *(_wrapped(line, width) for line in lines)])


def _events(events: Events) -> str:
    if not events.events:
        return "There is none."
    rows = [(str(event.position), str(event.kind), event.text) for event in events.events]
    lines = "\n".join(f"{position:>17}  {kind:<9}  {text}".rstrip() for position, kind, text in rows)
    return lines + ("\n... and more." if events.more else "")


def _where(where: Where) -> str:
    here = _here(where.position, where.end, where.pc, where.instruction, where.frame)
    lines = [here, *([f"task {where.running}"] if where.running else [])]
    return "\n".join([*lines, *([time_text(where.time)] if where.time else [])])


def _here(position: Position, end: Position, pc: int, instruction: str, frame: Frame | None) -> str:
    """The place of the cursor, by GDB's words where it knows the function."""
    if frame and frame.function:
        return f"{position} ({position.percent(end):.1f}%)\n{_without_bytes(frame.text)}"
    return place(position, end, pc, instruction)


def _without_bytes(text: str) -> str:
    """``text`` of GDB's where the instruction at the cursor is shown without its bytes, which fill half a line."""
    return _BYTES.sub(r"\1", text)


def _bookmarks(result: Bookmarks) -> str:
    if not result.bookmarks:
        return "No bookmarks."
    rows = [
        (f"@{name}", str(mark.position), f"{mark.position.percent(result.end):.1f}%", mark.note)
        for name, mark in result.bookmarks.items()
    ]
    return table(("Name", "Position", "%", "Note"), rows)


def time_text(time: GuestTime) -> str:
    """The guest's time of day, and how long it has run."""
    about = "" if time.exact else "about "
    return f"guest time {about}{format_time(time.moment)} UTC, {time.elapsed / 1e9:.6f} s after the start"


def place(position: Position, end: Position, pc: int, instruction: str) -> str:
    """Where the cursor is: position, share of the recording, pc and instruction."""
    shown = f": {instruction}" if instruction else ""
    return f"{position} ({position.percent(end):.1f}%)  {pc:#x}{shown}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns two spaces apart; numbers to the right."""
    lines = [list(headings), *([shown(cell).replace("\n", "\\n") for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    right = [_is_number(lines[1][column]) if len(lines) > 1 else False for column in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def times(count: int) -> str:
    """``1 time``, ``1,234 times``."""
    return f"{count:,} time{'' if count == 1 else 's'}"


def _stopped(result: Stopped) -> str:
    stop = result.stop
    lines = result.printed.splitlines()
    if result.text:
        return "\n".join([*lines, _without_bytes(result.text.rstrip("\n")), *_in_task(result)])
    for hit in stop.hits:
        lines += _hit(hit)
    if stop.reason is StopReason.START:
        lines.append("No more reverse-execution history: this is the start of the recording.")
    elif stop.reason is StopReason.END:
        lines.append("This is the end of the recording.")
    lines.append(_here(stop.position, result.end, stop.pc, result.instruction, result.frame))
    return "\n".join([*lines, *_in_task(result)])


def _in_task(result: Stopped) -> list[str]:
    return [f"in task {result.running}"] if result.running else []


def _hit(hit: Hit) -> list[str]:
    heading = _capital(f"{hit.point}")
    if hit.point.space is None and hit.space is not None:
        heading += f" in address space {hit.space:#x}"
    if hit.change is None:
        return [heading]
    before, after = hit.change.before, hit.change.after
    cause = [hit.unwritten.cause] if hit.unwritten else []
    return [heading, f"  Old value = {value_text(before)}", f"  New value = {value_text(after)}", *cause]


def value_text(raw: bytes) -> str:
    """Bytes of memory: as a little-endian number where they are of a number's size."""
    if len(raw) in (1, 2, 4, 8):
        return f"0x{int.from_bytes(raw, 'little'):0{2 * len(raw)}x}"
    return raw[:32].hex(" ") + (" ..." if len(raw) > 32 else "")


def _registers(result: Registers) -> str:
    width = max((len(name) for name in result.values), default=0)
    return "\n".join(
        f"{name:<{width}}  0x{value:0{2 * result.sizes[name]}x}  {value}" for name, value in result.values.items()
    )


def _points(points: Sequence[Point]) -> str:
    if not points:
        return "No breakpoints or watchpoints."
    return table(("Num", "Type", "Where"), [(str(point.number), *_point(point)) for point in points])


def _point(point: Point) -> tuple[str, str]:
    match point:
        case Breakpoint(address=address):
            return "breakpoint", f"*{address:#x}{within(point)}"
        case Watchpoint(kind=kind):
            return kind.value, f"{'' if point.physical else '*'}{point.place}{within(point)}"


def _snapshots(result: Snapshots) -> str:
    rows = [
        (
            f"{snapshot.icount:,}",
            f"{Position(snapshot.icount).percent(result.end):.1f}%",
            size_text(snapshot.size),
            "" if snapshot.load_seconds is None else f"{snapshot.load_seconds:.2f}",
            snapshot.kind.value,
            {None: "not proved", True: "yes", False: "NO"}[snapshot.sound],
            snapshot.name or "",
        )
        for snapshot in result.snapshots
    ]
    listed = table(("Position", "%", "Size", "Load s", "Kind", "Sound", "Name"), rows)
    used = f"They take {size_text(result.used)}, and may take {size_text(result.budget)}"
    return f"{listed}\n{used}; 'rrdbg replay --snapshot-budget SIZE' sets another bound."


def _processes(result: Processes) -> str:
    rows = [
        (
            str(known.pid or "?"), known.role.value, "any snapshot" if known.position is None else str(known.position),
            size_text(known.memory) if known.memory else "?", f"{known.seconds:.0f} s",
        )
        for known in result.processes
    ]  # fmt: skip
    limits = result.spares
    allowed = f"Spares: at most {limits.count}, of {size_text(limits.memory)} in all." if limits.count else "No spares."
    listed = table(("Pid", "For", "Position", "Memory", "Age"), rows) if rows else "No QEMU runs."
    return f"{listed}\n{allowed}"


def _beside(result: Beside, width: int) -> str:
    """Two strips of one scale, and the events around the place where they part."""
    labels = [f"{side.name}  " for side in result.sides]
    ends = [f"  {side.end}  {side.ended}" for side in result.sides]
    room = max(width - max(map(len, labels)) - max(map(len, ends)), NARROWEST)
    sights = [sight for row in result.rows if not row.alike for sight in (row.first, row.second) if sight]
    parted = min((sight.position for sight in sights), default=None)
    strips = beside_strips([side.end for side in result.sides], parted, room)
    indent = max(map(len, labels))
    lines = [f"{label:<{indent}}{strip:<{room}}{end}" for label, strip, end in zip(labels, strips, ends, strict=True)]
    first, second = (side.name for side in result.sides)
    headings = ("", first, "Event", "In", second, "Event", "In")
    rows = [("alike" if row.alike else "differ", *_sight(row.first), *_sight(row.second)) for row in result.rows]
    told = f"{result.alike:,} events from outside come at the same places in both"
    return "\n".join([*lines, f"{told}{', and no other.' if parted is None else '.'}", table(headings, rows)])


def _sight(sight: Sight | None) -> tuple[str, str, str]:
    return (str(sight.position), sight.text, sight.place) if sight else ("", "none", "")


def _ways_part(result: WaysPart) -> str:
    rows = [
        (side.name, f"{before.place}  {before.text}".strip(), str(after.position), after.place)
        for side, before, after in zip(result.sides, result.before, result.after, strict=True)
    ]
    before = result.before[0].position
    heading = f"They go the same way up to {before}, and different ways from the next step on:"
    return f"{heading}\n{table(('', 'Before the step', 'After it', 'In'), rows)}"


def _facts(facts: Iterable[tuple[str, object]]) -> str:
    lines = []
    for label, value in facts:
        if isinstance(value, list):
            shown = " ".join(map(str, value))
        elif isinstance(value, int) and not isinstance(value, bool):
            shown = f"{value:,}"
        else:
            shown = str(value)
        lines.append(f"  {label.replace('_', ' '):<26} {shown}")
    return "\n".join(lines)


def _kernel(kernel: KernelInfo) -> str:
    facts = {
        "build id": kernel.build_id or "it has none",
        "text at": f"{kernel.base:#x}" if kernel.base else "?",
        "found at position": str(kernel.seen),
        "types": "its own (BTF)" if kernel.offsets else "it has no BTF, so tasks are not known",
    }
    return f"{kernel.banner}\n" + _facts(facts.items())


def _modules(result: Modules) -> str:
    if not result.modules:
        return "No module of the kernel's is loaded here."
    rows = [(module.name, f"{module.size:,}", f"{module.base:#x}") for module in result.modules]
    return table(("Module", "Bytes", "Text at"), rows)


def _tasks(result: Tasks) -> str:
    running = result.running.task.address if result.running else None
    rows = [
        (
            "*" if known.task.address == running else "", str(known.task.pid), str(known.task.tgid), str(known.parent),
            known.state, f"[{known.task.comm}]" if known.is_kernel else known.task.comm,
        )
        for known in result.tasks
    ]  # fmt: skip
    if not rows:
        return "The kernel is not there yet."
    listed = table(("", "Pid", "Process", "Parent", "State", "Name"), rows)
    return f"{listed}\nRunning: {result.running}." if result.running else listed


def _switches(result: SwitchSummary) -> str:
    whole = max(result.end.icount - result.start.icount, 1)
    rows = [
        (
            str(ran.task.pid), ran.task.comm, f"{ran.times:,}", f"{ran.instructions:,}",
            f"{ran.instructions / whole:.1%}", str(ran.first), str(ran.last),
        )
        for ran in result.ran
    ]  # fmt: skip
    closing = f"{times(result.count)} the guest has switched tasks between {result.start} and {result.end}."
    headings = ("Pid", "Name", "Times", "Instructions", "Share", "First", "Last")
    return f"{table(headings, rows)}\n{closing}" if rows else closing


def _wrapped(line: str, width: int) -> str:
    """``line`` in lines of at most ``width`` cells; what goes on stands below the last column, if there are some."""
    columns = line.rfind("   ") + 3 if line.startswith("  ") else 0
    return textwrap.fill(line, width, subsequent_indent=" " * columns, drop_whitespace=True)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit()
