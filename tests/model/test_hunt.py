"""What a hunt is made of: perturbations from a seed, courses of runs, and what a number of runs says."""

from __future__ import annotations

import doctest
import itertools
import random
from dataclasses import replace
from math import comb
from types import ModuleType

import pytest

from rrdbg.errors import UsageError
from rrdbg.model.hunt import course, tally
from rrdbg.model.hunt.course import Course, Courses, sample_numbers
from rrdbg.model.hunt.criterion import parse_criterion
from rrdbg.model.hunt.perturbation import (
    ALWAYS,
    BY_THE_HOST,
    Aspect,
    Choices,
    Perturbation,
    parse_aspects,
    useful,
    usual,
)
from rrdbg.model.hunt.tally import Tally, runs_needed
from rrdbg.model.machine.invocation import prepare
from rrdbg.model.timeline import beside
from rrdbg.model.timeline.deliveries import Deliveries, Delivery

COMMAND = ("qemu-system-x86_64", "-m", "16M", "-kernel", "guest.elf")


@pytest.mark.parametrize("module", [course, tally, beside])
def test_the_examples_are_right(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_a_seed_always_chooses_the_same() -> None:
    choices = Choices()
    runs = [choices.of_run(7, number) for number in range(50)]
    assert runs == [choices.of_run(7, number) for number in range(50)]
    assert runs[0] == Perturbation()
    assert len(set(runs)) == 50
    assert runs[1] != Choices().of_run(8, 1)


def test_an_aspect_that_is_left_out_changes_no_other() -> None:
    whole, part = Choices().of_run(3, 5), Choices((Aspect.DATE, Aspect.RANDOM)).of_run(3, 5)
    assert (part.date, part.random) == (whole.date, whole.random)
    assert part.aspects == (Aspect.RANDOM, Aspect.DATE)


def test_where_runs_are_to_be_repeatable_the_host_has_no_part_in_any() -> None:
    """And all else is as it is without."""
    choices = Choices(tuple(aspect for aspect in ALWAYS if aspect not in BY_THE_HOST))
    for number in range(20):
        perturbation = replace(choices, repeatable=True).of_run(4, number)
        assert perturbation.jumps
        assert perturbation.without(Aspect.IDLE) == choices.of_run(4, number).without(Aspect.IDLE)


def test_memory_and_cpu_are_only_what_was_listed() -> None:
    choices = Choices((*ALWAYS, Aspect.MEMORY, Aspect.CPU), ("32M", "64M"), ("max",))
    assert {choices.of_run(1, number).memory for number in range(1, 30)} == {"32M", "64M"}
    assert choices.of_run(1, 1).cpu == "max"
    assert choices.of_run(1, 1).words(COMMAND).count("-m") == 1


def test_what_the_user_has_chosen_stays() -> None:
    perturbation = Perturbation(random=5, date="2030-01-02T03:04:05")
    words = perturbation.words((*COMMAND, "-rtc", "base=2001-01-01,driftfix=slew", "-seed", "9"))
    assert words[words.index("-seed") + 1] == "9"
    assert words[words.index("-rtc") + 1] == "base=2001-01-01,driftfix=slew"
    words = perturbation.words((*COMMAND, "-rtc", "driftfix=slew"))
    assert prepare(words, shift="5", clock_base="2000-01-01").clock_base == "2030-01-02T03:04:05"


@pytest.mark.parametrize("number", range(20))
def test_each_perturbation_can_be_recorded(number: int) -> None:
    perturbation = Choices().of_run(11, number)
    invocation = prepare(perturbation.words(COMMAND), shift=perturbation.rate, clock_base="2000-01-01")
    # The date is the run's, and not the day on which it is made.
    assert invocation.clock_base >= "2027"


def test_aspects_have_names() -> None:
    assert parse_aspects("shift, disk,shift") == (Aspect.SHIFT, Aspect.DISK)
    assert parse_aspects("none") == ()
    with pytest.raises(UsageError, match="'moon' is nothing that a hunt can vary"):
        parse_aspects("moon")


def test_only_what_the_machine_has_is_varied() -> None:
    assert Aspect.DISK not in useful(ALWAYS, COMMAND)
    everything = (*COMMAND, "-drive", "file=root.img,format=raw,if=virtio", "-nic", "user,model=virtio-net-pci")
    assert useful(ALWAYS, everything, typed=True) == ALWAYS
    # A drive makes a guest slow where idle time jumps; a PC has one unless it is told to have none.
    assert Aspect.IDLE not in usual(COMMAND)
    assert Aspect.IDLE in usual((*COMMAND, "-nodefaults"))
    assert Aspect.IDLE not in usual((*COMMAND, "-nodefaults", "-drive", "file=root.img,format=raw,if=virtio"))
    assert Aspect.FIRMWARE not in useful(ALWAYS, ("qemu-system-arm", "-M", "mps2-an385", "-kernel", "guest.elf"))


def deliveries(icounts: list[int]) -> Deliveries:
    return Deliveries.of((icount, Delivery.INTERRUPT) for icount in icounts)


def test_the_common_part_of_two_courses_is_where_they_part() -> None:
    dice = random.Random(5)
    for _ in range(200):
        size = dice.randrange(1, 3000)
        first = sorted(dice.sample(range(10**6), size))
        place = dice.randrange(size)
        second = [*first[:place], *(icount + 1 for icount in first[place:])]
        found = Course.of(deliveries(first), None).common(Course.of(deliveries(second), None))
        assert place * 0.97 - 1 <= found <= place


def test_a_run_that_was_ended_earlier_is_the_same_as_far_as_it_goes() -> None:
    icounts = list(range(100, 100_000, 100))
    whole, cut = Course.of(deliveries(icounts), 100_000), Course.of(deliveries(icounts[:500]), None)
    other = Course.of(deliveries([*icounts[:300], *(icount + 1 for icount in icounts[300:])]), 100_000)
    assert whole.same_as(cut)
    assert cut.same_as(whole)
    assert whole.same_as(whole)
    assert not whole.same_as(other)
    assert not cut.same_as(other)


def test_among_many_the_same_one_is_found_as_by_looking_at_each() -> None:
    """Runs that part anywhere, of which some were ended by us, and some came again."""
    dice = random.Random(7)
    courses, kept = Courses(), dict[int, Course]()
    trunk = sorted(dice.sample(range(10**6), 400))
    for number in range(600):
        place, shift = dice.randrange(400), dice.randrange(3)
        own = dice.random() < 0.5
        icounts = [*trunk[:place], *(icount + shift for icount in trunk[place:])]
        length = 400 if own else dice.randrange(401)
        course = Course.of(deliveries(icounts[:length]), 10**6 if own else None)
        found = courses.add(course, number)
        alike = [run for run, known in kept.items() if known.same_as(course)]
        assert found in alike if alike else found is None
        if found is None:
            kept[number] = course
    assert 100 < len(kept) < 500


def test_a_run_that_went_on_where_another_ended_by_itself_was_not_the_same() -> None:
    icounts = list(range(100))
    assert not Course.of(deliveries(icounts[:50]), 60).same_as(Course.of(deliveries(icounts), None))


def test_guests_that_end_elsewhere_were_not_the_same() -> None:
    same = deliveries([1, 2, 3])
    assert not Course.of(same, 50).same_as(Course.of(same, 51))
    assert not Course.of(deliveries([]), None).same_as(Course.of(same, None))


def test_what_is_not_known_to_be_the_same_counts() -> None:
    """A guest that polls may have gone anywhere, and we ended it; its own end says more."""
    nothing = Course.of(deliveries([]), None)
    assert not nothing.same_as(nothing)
    assert [Courses().add(nothing, number) for number in range(2)] == [None, None]
    courses = Courses()
    assert [courses.add(Course.of(deliveries([]), end), end) for end in (5, 6, 5)] == [None, None, 5]


def test_what_comes_without_an_interrupt_is_part_of_it() -> None:
    same = deliveries([10, 20, 30])
    typed, later = Course.of(same, None, [(15, 7)]), Course.of(same, None, [(16, 7)])
    assert not typed.same_as(later)
    assert typed.same_as(Course.of(same, None, [(15, 7)]))
    assert typed.common(later) == 1


def test_samples_are_few_and_close() -> None:
    numbers = sample_numbers(1_000_000)
    assert len(numbers) < 1000
    assert all(after - before <= max(1, before / 60) for before, after in itertools.pairwise(numbers))


@pytest.mark.parametrize(("failures", "runs", "confidence"), [(0, 20, 0.95), (1, 50, 0.9), (3, 200, 0.95), (7, 8, 0.5)])
def test_the_bound_is_where_so_few_failures_become_unlikely(failures: int, runs: int, confidence: float) -> None:
    bound = Tally(runs, failures).at_most(confidence)
    chance = sum(comb(runs, k) * bound**k * (1 - bound) ** (runs - k) for k in range(failures + 1))
    assert chance == pytest.approx(1 - confidence, rel=1e-6)


def test_the_runs_needed_are_just_enough() -> None:
    needed = runs_needed(1 / 500, 0.95)
    assert Tally(needed).at_most(0.95) < 1 / 500 <= Tally(needed - 1).at_most(0.95)


def test_what_is_repeated_counts_in_no_rate() -> None:
    counted = (
        Tally().plus(failed=True, repeated=False).plus(failed=True, repeated=True).plus(failed=False, repeated=False)
    )
    assert (counted.runs, counted.different, counted.failures, counted.rate) == (3, 2, 1, 0.5)


def test_criteria_are_read() -> None:
    assert parse_criterion("expr=a == b").value == "a == b"
    assert not parse_criterion("ended=timeout").needs_replay
    for text in ("moon=1", "expr=", "expr", "ended=badly"):
        with pytest.raises(UsageError, match=f"--if {text}"):
            parse_criterion(text)
