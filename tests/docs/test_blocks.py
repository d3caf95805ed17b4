"""A page is taken apart as whoever shows it does: else a command in it would be passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import Block, Prompt, blocks

TEXT = """\
# A page

    $ rrdbg record --name a -- \\
        qemu-system-x86_64 -kernel a.elf      # two lines
    a: up
    ...

1. An entry with a block of its own:

   <!-- not run: takes a day -->

       make world

   and words    that are none of it.

```
(rrdbg) seek 50%
50% 1,234> bt   # who called
#0  main () at a.c:1
50% 1,234>
 1,234 of 2,468
```

<!-- long: needs a kernel -->
<!-- exit status 3 -->
```sh
exit 3
```

    PANIC: it said so

    $ rrdbg console a | head
"""


@pytest.fixture
def found(tmp_path: Path) -> list[Block]:
    page = tmp_path / "page.md"
    page.write_text(TEXT)
    return list(blocks(page))


def test_blocks_fenced_indented_and_in_a_list(found: list[Block]) -> None:
    assert [block.number for block in found] == [3, 12, 17, 27, 30]
    assert [block.lines[0] for block in found][1:] == ["make world", "(rrdbg) seek 50%", "exit 3", "PANIC: it said so"]


def test_marks_are_for_the_next_block_alone(found: list[Block]) -> None:
    assert [block.not_run for block in found] == [None, "takes a day", None, None, None]
    assert [block.long for block in found] == [None, None, None, "needs a kernel", None]
    assert [block.status for block in found] == [0, 0, 0, 3, 0]


def test_what_is_typed_and_what_is_shown_below(found: list[Block]) -> None:
    (record,) = found[0].typed
    assert record.text == "rrdbg record --name a -- \\\n    qemu-system-x86_64 -kernel a.elf"
    assert record.output == ("a: up", "...")
    assert [line.text for line in found[1].typed] == ["make world"]
    seek, backtrace, bar = found[2].typed
    assert (seek.prompt, seek.shown_prompt, seek.text, seek.output) == (Prompt.SHELL, "(rrdbg)", "seek 50%", ())
    assert (backtrace.shown_prompt, backtrace.text) == ("50% 1,234>", "bt")
    assert (bar.text, bar.output) == ("", (" 1,234 of 2,468",))
    assert not found[3].typed


def test_what_a_guest_says(found: list[Block]) -> None:
    assert found[4].said == ("PANIC: it said so",)
    assert [line.text for line in found[4].typed] == ["rrdbg console a | head"]
