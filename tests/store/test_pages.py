"""Pages of RAM, each kept once: what was put in comes out, also after a crash and after others were dropped."""

from __future__ import annotations

from array import array
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrdbg.errors import RecordingError
from rrdbg.store.page_table import differing, in_use, read_table, together, write_table
from rrdbg.store.pages import NO_SUM, PAGE, Pages, Piece, page_sum

ZEROS = bytes(PAGE)


def page(number: int) -> bytes:
    return number.to_bytes(4, "little") * (PAGE // 4)


def put(pages: Pages, contents: list[bytes]) -> array[int]:
    return array("I", pages.add((page_sum(content), content) for content in contents))


def content(pages: Pages, table: array[int]) -> list[bytes]:
    runs = [bytes(run) for _, run in pages.runs(pages.pieces(table, [range(len(table))]))]
    return [run[at : at + PAGE] for run in runs for at in range(0, len(run), PAGE)]


def test_a_page_is_kept_once(tmp_path: Path) -> None:
    pages = Pages(tmp_path / "ram")
    first = put(pages, [page(1), page(2), ZEROS, page(1)])
    assert first == array("I", [1, 2, 0, 1])
    assert put(Pages(tmp_path / "ram"), [page(2), page(3)]) == array("I", [2, 3]), "another session knows them"
    assert content(pages, first) == [page(1), page(2), ZEROS, page(1)]
    assert pages.sums(first)[32:48] == NO_SUM
    assert bytes(pages.sums(first)[:16]) == page_sum(page(1))
    summed = [(number, bytes(sums)) for number, _, sums in pages.summed_runs(first, [range(4)])]
    assert summed == [(0, page_sum(page(1)) + page_sum(page(2))), (2, NO_SUM), (3, page_sum(page(1)))]


def test_what_nobody_names_gives_its_room_back_and_is_not_taken_for_what_it_was(tmp_path: Path) -> None:
    pages = Pages(tmp_path / "ram")
    kept, dropped = put(pages, [page(n) for n in range(1, 300)]), put(pages, [page(n) for n in range(300, 900)])
    before = pages.size
    pages.keep_only([kept])
    assert pages.size < before
    again = put(pages, [page(n) for n in range(300, 900)])
    assert not set(again) & set(dropped)
    assert content(pages, again) == [page(n) for n in range(300, 900)]
    assert content(pages, kept) == [page(n) for n in range(1, 300)]


@pytest.mark.parametrize("cut", [1, PAGE - 1, PAGE])
def test_a_crash_in_the_middle_leaves_what_was_whole(tmp_path: Path, cut: int) -> None:
    """Pages are written before their checksums: a page without one is as if it were not there."""
    pages = Pages(tmp_path / "ram")
    whole = put(pages, [page(1), page(2)])
    with (tmp_path / "ram/pages.bin").open("ab") as file:
        file.write(page(3)[:cut])
    later = Pages(tmp_path / "ram")
    more = put(later, [page(4), page(1)])
    assert content(later, whole) == [page(1), page(2)]
    assert content(later, more) == [page(4), page(1)]


def test_a_table_survives_and_a_damaged_one_is_told_of(tmp_path: Path) -> None:
    table = array("I", range(5000))
    write_table(tmp_path / "t", table)
    assert read_table(tmp_path / "t", 5000) == table
    for pages in (4999, 5001):
        with pytest.raises(RecordingError, match="damaged"):
            read_table(tmp_path / "t", pages)
    (tmp_path / "t").write_bytes(b"nonsense")
    with pytest.raises(RecordingError, match="cannot be read"):
        read_table(tmp_path / "t", 5000)
    with pytest.raises(RecordingError, match="too short"):
        list(Pages(tmp_path / "ram").runs([Piece(0, 7, 1)]))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2999), st.integers(0, 9)), max_size=50))
def test_tables_differ_where_they_differ(changes: list[tuple[int, int]]) -> None:
    one = array("I", bytes(4 * 3000))
    other = array("I", one)
    for place, value in changes:
        other[place] = value
    check_stretches(one, other)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2999), st.integers(1, 2500), st.integers(0, 5000)), max_size=5))
def test_long_stretches_are_found_and_parted_where_they_lie_apart(fills: list[tuple[int, int, int]]) -> None:
    """A guest that has filled a lot of memory: slots that follow each other by the thousand."""
    one = array("I", bytes(4 * 3000))
    for first, most, slot in fills:
        count = min(most, 3000 - first)
        one[first : first + count] = array("I", range(slot, slot + count))
    check_stretches(one, array("I", bytes(4 * 3000)))
    assert {number for stretch in in_use(one) for number in stretch} >= {n for n in range(3000) if one[n]}
    first = 0
    while first < 3000:
        count = together(one, first, 3000)
        step = 1 if one[first] else 0
        assert list(one[first : first + count]) == [one[first] + step * n for n in range(count)]
        first += count
        assert first == 3000 or one[first] != one[first - count] + step * count, "as few as can be"


def check_stretches(one: array[int], other: array[int]) -> None:
    """All in which they differ are told, in order, and not many more: none far from one that does."""
    found = list(differing(one, other))
    assert all(low.stop < high.start for low, high in pairwise(found)), "in order and apart"
    numbers = {number for stretch in found for number in stretch}
    different = {place for place in range(len(one)) if one[place] != other[place]}
    assert different <= numbers
    assert {number // 1024 for number in numbers} == {number // 1024 for number in different}


@settings(deadline=None, max_examples=200)
@given(slots=st.lists(st.integers(0, 12), min_size=1, max_size=60), wanted=st.sets(st.integers(0, 59)))
def test_pieces_hold_what_the_table_names(
    tmp_path_factory: pytest.TempPathFactory, slots: list[int], wanted: set[int]
) -> None:
    pages = Pages(tmp_path_factory.mktemp("pages"))
    put(pages, [page(n) for n in range(1, 13)])
    table = array("I", slots)
    numbers = sorted(number for number in wanted if number < len(slots))
    found = [
        (first + index, bytes(view[index * PAGE : (index + 1) * PAGE]))
        for first, view in pages.runs(pages.pieces(table, [range(number, number + 1) for number in numbers]))
        for index in range(len(view) // PAGE)
    ]
    assert found == [(number, page(slots[number]) if slots[number] else ZEROS) for number in numbers]


def test_what_was_saved_together_is_one_piece_and_one_that_is_cut_off_is_told_of(tmp_path: Path) -> None:
    pages = Pages(tmp_path / "ram")
    table = put(pages, [page(n) for n in range(1, 300)]) + array("I", bytes(4 * 1000))
    assert [len(view) // PAGE for _, view in pages.runs(pages.pieces(table, [range(len(table))]))] == [299, 512, 488]
    with pytest.raises(RecordingError, match="too short"):
        list(pages.runs([Piece(0, 298, 3)]))
