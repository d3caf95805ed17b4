"""The commands, values and settings, in a real GDB on a real recording."""

from __future__ import annotations

import re
from pathlib import Path

from rrdbg.model.timeline.position import Position
from tests.extension.conftest import SCRIPT, Extended, output_of
from tests.guests.build import symbol

PLACE = 7_300_000
OTHER = 7_800_000
VERIFIED = r"Verified: (?P<sound>\d+) of (?P<all>\d+) snapshots are proved sound\."
REMEMBERS = """python seen = {}
python gdb.events.memory_changed.connect(lambda event: seen.clear())
python gdb.events.stop.connect(lambda event: seen.clear())
"""
"""As gef and pwndbg do: what was read is remembered, by its name, until the guest has changed by GDB's word."""
AGAIN = 'python print("remembered", seen.setdefault("counter", int(gdb.parse_and_eval("counter"))))\n'
TELL = 'printf "at %llu:%d of %llu, counter %llu\\n", $rr_icount, $rr_phase, $rr_end, counter\n'


async def counter_at(extended: Extended, elf: Path, position: int) -> int:
    """The truth: the guest's ``counter`` as the engine itself reads it."""
    await extended.replay.seek(Position(position))
    return int.from_bytes(await extended.replay.read_memory(symbol(elf, "counter").address, 8), "little")


async def test_gdb_sees_the_guest_as_it_is_after_each_jump(extended: Extended, workload_guest: Path) -> None:
    here, there = [await counter_at(extended, workload_guest, place) for place in (PLACE, OTHER)]
    end = extended.replay.timeline.end.icount
    lines = await extended(
        f"rrdbg seek {PLACE}\n{TELL}rrdbg seek {OTHER}\n{TELL}monitor seek {PLACE}\n{TELL}stepi\n{TELL}"
        "info registers rip\nrrdbg seek -1\ninfo registers rip\nbacktrace 1\n"
    )
    told = [line for line in lines if line.startswith("at ")]
    assert told == [
        f"at {PLACE}:0 of {end}, counter {here}",
        f"at {OTHER}:0 of {end}, counter {there}",
        f"at {PLACE}:0 of {end}, counter {here}",
        f"at {PLACE + 1}:0 of {end}, counter {here}",
    ]
    assert extended.replay.position == Position(PLACE)
    pcs = [line.split()[1] for line in lines if line.startswith("rip ")]
    assert len(set(pcs)) == 2
    assert int(pcs[1], 16) == await extended.replay.pc()
    assert lines[-2].startswith("#0 ")


async def test_other_extensions_learn_of_each_jump(extended: Extended, workload_guest: Path) -> None:
    here, there = [await counter_at(extended, workload_guest, place) for place in (PLACE, OTHER)]
    lines = await extended(
        f"{REMEMBERS}rrdbg seek {PLACE}\n{AGAIN}rrdbg seek {OTHER}\n{AGAIN}monitor seek {PLACE}\n{AGAIN}"
        "show remotetimeout\n"
    )
    assert any("wait" in line and line.endswith(" 60.") for line in lines), (
        "GDB, which has connected by itself, waits for what takes long"
    )
    told = [int(line.split()[1]) for line in lines if line.startswith("remembered ")]
    assert told == [here, there, here]
    assert here != there


async def test_many_steps_are_made_at_once_and_both_ways(extended: Extended) -> None:
    """GDB's own 'stepi 100000' is as many packets, and minutes."""
    lines = await extended(
        f"rrdbg seek {PLACE}\nrrdbg stepi 100000\n{TELL}rrdbg reverse-stepi 99999\n{TELL}stepi\nreverse-stepi\n{TELL}"
    )
    told = [line for line in lines if line.startswith("at ")]
    assert len(told) == 3
    assert told[0] != told[1] == told[2]
    await extended.replay.seek(Position(PLACE))
    stop = await extended.replay.stepi()
    assert told[1].startswith(f"at {stop.position.icount}:{stop.position.phase} of ")
    assert (await extended.replay.stepi(99_999)).position.icount == int(told[0].split()[1].partition(":")[0])


async def test_physical_memory_is_meant_by_a_number_or_behind_a_name(extended: Extended, workload_guest: Path) -> None:
    """This guest maps its memory where it is, so all of these are the same write."""
    place = symbol(workload_guest, "counter").address
    lines = await extended(
        f"rrdbg seek {PLACE}\nrrdbg last counter\n{TELL}rrdbg seek {PLACE}\nrrdbg last counter --physical\n{TELL}"
        f"rrdbg seek {PLACE}\nrrdbg last *{place:#x}:8 --physical\n{TELL}"
        f"rrdbg seek {PLACE}\nrrdbg last *{place:#x}:8 --behind\n{TELL}"
        f"rrdbg seek {PLACE}\nrrdbg watch counter --physical\nreverse-continue\n{TELL}"
    )
    told = [line for line in lines if line.startswith("at ")]
    assert len(told) == 5
    assert len(set(told)) == 1
    assert any(line.startswith(f"rrdbg: watchpoint 1 on physical {place:#x}:8, 0x") for line in lines)


async def test_another_time_is_looked_at_from_here(extended: Extended, workload_guest: Path) -> None:
    here, there = [await counter_at(extended, workload_guest, place) for place in (PLACE, OTHER)]
    lines = await extended(
        f"rrdbg seek {PLACE}\nup\n"
        f'printf "then %llu, now %llu\\n", $rr_at("counter", {OTHER}), counter\n'
        f'printf "%llu\\n", counter + $rr_at("counter", "{OTHER:,}")\n'
        "frame\n"
        f"{TELL}"
        "python\ntry:\n    gdb.parse_and_eval('$rr_at(\"nonsense\", 5)')\nexcept gdb.error as error:\n"
        "    print(error)\nend\n"
        'printf "now %llu\\n", $rr_now()\n'
    )
    assert f"then {there}, now {here}" in lines
    assert str(here + there) in lines
    frame = lines.index(str(here + there)) + 1
    assert lines[frame].startswith("#1 "), "the selected frame is the same"
    assert 'No symbol "nonsense" in current context.' in lines
    assert f"now {PLACE}" in lines
    assert extended.replay.position == Position(PLACE)


async def test_answers_errors_and_where_the_guest_is(extended: Extended) -> None:
    lines = await extended(
        f"rrdbg seek {PLACE}\nset rrdbg stop-position on\nstepi\nrrdbg bookmark oops\nrrdbg info recording\n"
        "rrdbg snapshot mine\nrrdbg verify\nup\ndown\n"
        "python\nfor line in ('rrdbg seek 200%', 'rrdbg next-event lunch', 'rrdbg timeline now'):\n"
        "    try:\n        gdb.execute(line)\n    except gdb.error as error:\n        print('refused:', error)\nend\n"
        "monitor when\ndisconnect\n"
        "python\ntry:\n    gdb.execute('rrdbg when')\nexcept gdb.error as error:\n    print('refused:', error)\nend\n"
    )
    assert lines[0].startswith(f"{PLACE:,} (88.0%)")
    assert lines[1].startswith("#0 ")
    assert f"At {PLACE + 1:,} (88.0%)." in lines
    assert f"Bookmark @oops at {PLACE + 1:,}." in lines
    assert "Recording served" in lines
    # How many were left on the way depends on how quick the host is.
    (verified,) = (found for line in lines if (found := re.fullmatch(VERIFIED, line)))
    assert int(verified["sound"]) == int(verified["all"]) >= 2, "the initial one and 'mine' at least"
    refused = [line for line in lines if line.startswith("refused: ")]
    assert "refused: 200% is outside the recording: a percentage goes from 0% to 100%." in refused
    assert refused[1].startswith("refused: 'lunch' is not a kind of event")
    assert refused[2] == "refused: 'info timeline' takes no argument, but 'now' follows."
    assert refused[3].startswith("refused: GDB is not connected to rrdbg. Enter: rrdbg open RECORDING")
    assert not any("finds no caller" in line for line in lines)
    assert not any("Traceback" in line or "GDB does not know" in line for line in lines)


async def test_what_if_is_a_setting(extended: Extended) -> None:
    lines = await extended(
        f"rrdbg seek {PLACE}\nset rrdbg what-if on\nset var counter = 5\n{TELL}show rrdbg what-if\n"
        f"set rrdbg what-if off\n{TELL}"
    )
    assert "rrdbg what-if is on." in lines
    told = [line.rpartition(" ")[2] for line in lines if line.startswith("at ")]
    assert told[0] == "5"
    assert told[1] != "5"


async def test_completion(extended: Extended) -> None:
    lines = await extended(
        "rrdbg bookmark oops\ncomplete rrdbg seek @o\ncomplete rrdbg seek e\ncomplete rrdbg events pa\n"
        "complete rrdbg console follow \ncomplete rrdbg snapsh\ncomplete rrdbg what-if o\n"
    )
    assert lines[1:] == [
        "rrdbg seek @oops", "rrdbg seek end", "rrdbg events packet", "rrdbg console follow off",
        "rrdbg console follow on", "rrdbg snapshot", "rrdbg snapshots", "rrdbg what-if off", "rrdbg what-if on",
        *(line for line in lines[1:] if "detached" in line),
    ]  # fmt: skip


async def test_help_is_there_before_a_recording_is_open(program: str, tmp_path: Path) -> None:
    lines = await output_of(program, "-ex", f"source {SCRIPT}", script="help rrdbg seek\nshow rrdbg\n", folder=tmp_path)
    assert lines[:2] == ["Go to a position.", "Usage: rrdbg seek POSITION"]
    assert "rrdbg prompt is off." in lines


async def test_short_names_leave_gdbs_own_alone(extended: Extended) -> None:
    lines = await extended(
        f"set rrdbg aliases on\nseek {PLACE}\nwhen\ncomplete seek st\nhelp seek\n"
        "python\nfor name in ('start', 'bookmark'):\n    print(gdb.execute(f'help {name}', to_string=True))\nend\n"
        "python\ntry:\n    gdb.execute('set rrdbg aliases off')\nexcept gdb.error as error:\n    print(error)\nend\n"
    )
    left_out = next(line for line in lines if line.startswith("GDB has commands of its own"))
    assert {"start", "end", "bookmark"} <= set(left_out.removesuffix(".").rpartition(": ")[2].split(", "))
    assert lines[1].startswith(f"{PLACE:,} (88.0%)")
    assert "seek start" in lines
    assert "Start the debugged program stopping at the beginning of the main procedure." in lines
    assert any(line.startswith("GDB cannot forget a name") for line in lines)


async def test_the_prompt_shows_the_position(extended: Extended) -> None:
    lines = await extended(
        "python\ngdb.prompt_hook = lambda prompt: 'mine> '\nend\n"
        f"rrdbg seek {PLACE}\nset rrdbg prompt on\n"
        "python print('prompt:', gdb.prompt_hook('(gdb) '))\n"
        "python print('prompt:', gdb.prompt_hook(gdb.prompt_hook('(gdb) ')))\n"
        "set rrdbg prompt off\npython print('prompt:', gdb.prompt_hook('(gdb) '))\n"
    )
    shown = [line for line in lines if line.startswith("prompt:")]
    assert shown == [f"prompt: 87% {PLACE:,} mine> "] * 2 + ["prompt: mine> "]
