"""A command line that cannot be recorded, made into one that can: each refusal, and the least change that ends it.

:func:`~rrdbg.model.machine.invocation.prepare` is asked, and names the first thing that is wrong. Which option that
was, and which of its properties, shows when it is taken away: the refusal is then another one, or gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rrdbg.errors import UsageError
from rrdbg.model.machine.findings import Finding, note, wrong
from rrdbg.model.machine.invocation import Invocation, prepare
from rrdbg.model.machine.options import Option, format_properties, parse_options, parse_properties, words_of

_DEFAULT_SHIFT = "5"
_SAME_WORDS = 50
"""So many characters two refusals for the same reason have in common."""

_ANY_CPU = "max"
"""The CPU that has all that QEMU can emulate."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What became of a command line: the ``invocation`` of the corrected one, if there is one, and what was found.

    ``shift`` is the rate that the command line had asked for by ``-icount``, or the default.
    """

    command: tuple[str, ...]
    shift: str
    invocation: Invocation | None
    findings: tuple[Finding, ...]


def correct(command: Sequence[str], *, clock_base: str) -> Correction:
    """Examine a command line, the program first, and correct it.

    ``clock_base`` is the guest's clock at the start, as :func:`~rrdbg.model.machine.invocation.prepare` takes it.
    """
    findings: list[Finding] = []
    shift = _DEFAULT_SHIFT
    try:
        options = parse_options(command[1:])
    except UsageError as error:
        return Correction(tuple(command), shift, None, (wrong("arguments", str(error), "Complete it."),))
    binary = command[0]
    while (refusal := _refusal(binary, options)) is not None:
        found = _culprit(binary, options, refusal)
        if found is None:
            findings.append(wrong("arguments", refusal, "Change the command line."))
            return Correction(tuple(command), shift, None, tuple(findings))
        culprit, better, options = found
        if culprit.name == "icount":
            shift = parse_properties(culprit.value or "", "shift").get("shift", shift)
        findings.append(wrong("arguments", refusal, _told(culprit, better)))
    words = (binary, *words_of(options)) if findings else tuple(command)
    invocation = prepare(words, shift=shift if _is_rate(shift) else _DEFAULT_SHIFT, clock_base=clock_base)
    return Correction(words, shift, invocation, tuple(findings))


def added(invocation: Invocation) -> list[Finding]:
    """What ``rrdbg record`` adds to a command line, and why."""
    found = [note("added", f"{' '.join(addition.words)}: {addition.reason}.") for addition in invocation.additions]
    found.append(
        note("added", f"-icount shift={invocation.shift},rr=record,...: records every input with its position.")
    )
    for disk in invocation.disks:
        above = [*([] if disk.read_only else ["an overlay"]), *([] if disk.waits else ["blkreplay"])]
        if above:
            found.append(note("added", f"{' and '.join(above).capitalize()} over {disk.source}, which is only read."))
    return found


def _refusal(binary: str, options: Sequence[Option]) -> str | None:
    try:
        prepare((binary, *words_of(options)), shift=_DEFAULT_SHIFT, clock_base="2000-01-01")
    except UsageError as error:
        return str(error)
    return None


def _culprit(
    binary: str, options: Sequence[Option], refusal: str
) -> tuple[Option, Option | None, tuple[Option, ...]] | None:
    """The option that is refused, what may stand in its place, and all options with that; None if it is none."""
    for index, option in enumerate(options):
        others = [*options[:index], *options[index + 1 :]]
        left = _refusal(binary, others)
        if left == refusal:
            continue
        tried = [
            (better, (*options[:index], better, *options[index + 1 :])) for better in _without_one_property(option)
        ]
        refusals = [_refusal(binary, changed) for _, changed in tried]
        for (better, changed), why in zip(tried, refusals, strict=True):
            if why == left:
                return option, better, changed
        # It may have another fault, which is found next; the same one is told in words that quote the option.
        for (better, changed), why in zip(tried, refusals, strict=True):
            if why is not None and why[:_SAME_WORDS] != refusal[:_SAME_WORDS]:
                return option, better, changed
        return option, None, tuple(others)
    return None


def _without_one_property(option: Option) -> Iterator[Option]:
    """``option`` with less: each property left out in turn, where several are given; any CPU for this host's own."""
    if option.name == "cpu":
        yield replace(option, value=_ANY_CPU)
    properties = parse_properties(option.value or "", "")
    first, comma, _ = (option.value or "").partition(",")
    implied = "" if "=" in first else first
    # What is left of -smp would still mean several CPUs: QEMU works out what is not said.
    for key in properties if comma and option.name != "smp" else ():
        if key == implied:
            continue
        rest = {other: text for other, text in properties.items() if other not in (key, implied)}
        value = ",".join(part for part in (implied, format_properties(rest)) if part)
        if value:
            yield Option(option.name, value)


def _told(option: Option, better: Option | None) -> str:
    words = " ".join(option.words())
    return f"Left out: {words}" if better is None else f"Changed: {words} to {' '.join(better.words())}"


def _is_rate(shift: str) -> bool:
    return shift == "auto" or (shift.isdecimal() and int(shift) <= 10)
