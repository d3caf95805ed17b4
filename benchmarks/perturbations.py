"""Which perturbations of ``rrdbg hunt`` change the order of a guest's events: writes a table for docs/howto/hunt.md.

Each aspect is varied alone, over some runs, and a run with the same values is made a second time. Two runs are the same
if all their interrupts, exceptions and inputs come at the same instructions, and they end at the same one.

    python -m benchmarks.perturbations --runs 6 -- qemu-system-x86_64 -m 16M -nodefaults -serial stdio -kernel guest.elf
"""

from __future__ import annotations

import argparse
import asyncio

from rrdbg.engine.hunt.attempt import Guest, attempt, course_of
from rrdbg.model.hunt.course import Course
from rrdbg.model.hunt.keys import Keys
from rrdbg.model.hunt.perturbation import ALWAYS, Aspect, Choices, Perturbation, useful
from rrdbg.render.text import table
from rrdbg.store.workfolder import WorkFolder


async def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=6, help="of each aspect")
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--memory", action="append", default=[])
    parser.add_argument("--cpu", action="append", default=[])
    parser.add_argument(
        "--type", dest="keys", nargs=2, action="append", default=[], metavar=("PROMPT", "TEXT"), help="as for the hunt"
    )
    parser.add_argument("--jump", action="store_true", help="vary each beside idle=jump, which makes a run repeatable")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    command = [word for word in arguments.command if word != "--"]
    keys = tuple(Keys(prompt.encode(), text.encode()) for prompt, text in arguments.keys)
    guest = Guest(command, timeout=arguments.timeout, keys=keys)
    listed = [aspect for aspect, given in ((Aspect.MEMORY, arguments.memory), (Aspect.CPU, arguments.cpu)) if given]
    rows = []
    with WorkFolder() as folder:

        async def course(perturbation: Perturbation) -> Course:
            name = folder / str(len(list(folder.iterdir())))
            return course_of(await attempt(guest, perturbation, name))

        base = Perturbation(idle="jump") if arguments.jump else Perturbation()
        plain = [await course(base) for _ in range(arguments.runs)]
        rows.append(_row("nothing", plain, plain))
        for aspect in useful((*ALWAYS, *listed), command, typed=bool(keys)):
            chosen = Choices((aspect,), tuple(arguments.memory), tuple(arguments.cpu))
            values = dict.fromkeys(
                _with(base, chosen.of_run(1, number), aspect) for number in range(1, arguments.runs + 1)
            )
            found = [await course(value) for value in values]
            again = await course(next(iter(values)))
            rows.append(_row(aspect, [plain[0], *found], [found[0], again]))
    print(table(("Varied", "Runs", "Different", "Same part", "The same again"), rows))


def _with(base: Perturbation, other: Perturbation, aspect: Aspect) -> Perturbation:
    values = {known.value: getattr(base, known) for known in base.aspects}
    return Perturbation(**(values | {aspect.value: getattr(other, aspect)}))


def _row(name: str, courses: list[Course], twice: list[Course]) -> tuple[str, ...]:
    different: list[Course] = []
    for item in courses:
        if not any(item.same_as(known) for known in different):
            different.append(item)
    common = min((item.common(courses[0]) for item in courses[1:]), default=courses[0].count)
    again = "yes" if all(item.same_as(twice[0]) for item in twice) else "no"
    return name, str(len(courses)), str(len(different)), f"{common} of {courses[0].count}", again


if __name__ == "__main__":
    asyncio.run(main())
