"""Where programs, libraries and modules lie: the guest has printed it itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rrdbg.engine.linux.guest import LinuxGuest
from rrdbg.engine.replay import Replay
from rrdbg.errors import UsageError
from rrdbg.frontends.cli.gdbinit import init_line
from rrdbg.frontends.shared.own_gdb import Debugger
from rrdbg.links.elf import read_program
from rrdbg.model.results import Message, Modules, Output
from tests.extension.conftest import output_of
from tests.guests.linux.tasks import Tasks
from tests.linux.asked import answers, console_of, printed

pytestmark = [pytest.mark.matrix, pytest.mark.linux, pytest.mark.timeout(600)]

_WITNESS = re.compile(r"witness: main (0x[0-9a-f]+) puts (0x[0-9a-f]+)")
_MODULE = re.compile(r"^(failover) (\d+) 0 - Live (0x[0-9a-f]+)", re.MULTILINE)
_IN_MODULE = re.compile(r"^([0-9a-f]{16}) [Tt] (failover_\w+)\s+\[failover\]", re.MULTILINE)


async def test_a_program_and_its_library_have_their_symbols_where_they_lie(
    tasks: Replay, tasks_guest: Tasks, tmp_path: Path
) -> None:
    told = _WITNESS.search(console_of(tasks.recording.layout.root))
    assert told
    main, puts = (int(address, 16) for address in told.groups())
    await tasks.seek(printed(tasks, "witness: main"))
    guest = LinuxGuest(tasks)
    task, mapped = await guest.programs("")
    assert task.comm == "witness"
    assert [program.name for program in mapped][:1] == ["/witness"]
    assert "/usr/lib/libc.so.6" in [program.name for program in mapped]
    async with Debugger.on(tasks, "gdb", None) as debugger:
        session = debugger.session
        await answers(session, f"symbols {tasks_guest.program}")
        await answers(session, f"symbols {tasks_guest.library} --task witness")
        assert await debugger.symbols.number("&main") == main
        assert await debugger.symbols.number("(long)&puts") == puts
        # Another program's file, or another build's of the same name, is refused.
        with pytest.raises(UsageError, match=r"witness\[\d+\] has not mapped busybox here, but /witness, "):
            await answers(session, "symbols /bin/busybox")
        other = tmp_path / "witness"
        note = read_program(tasks_guest.program).note
        assert note
        other.write_bytes(tasks_guest.program.read_bytes().replace(note[1], note[1][:-1] + b"\0"))
        with pytest.raises(UsageError, match="of another build than the /witness"):
            await answers(session, f"symbols {other}")
        with pytest.raises(UsageError, match="is a thread of the kernel's"):
            await answers(session, "symbols --task kthreadd")

        # Where it has got its name, in its execve, there is nothing yet.
        here = tasks.position
        await answers(session, "seek start")
        await answers(session, "seek task witness")
        with pytest.raises(UsageError, match=r"witness\[\d+\] has no program mapped yet: its execve is under way"):
            await answers(session, f"symbols {tasks_guest.program}")
        await tasks.seek(here)

        # Source lines in the program, back through a system call that it has made.
        await debugger.run("break tell")
        await debugger.run("continue")
        (where,) = await debugger.run("info source")
        assert isinstance(where, Output)
        assert "witness.c" in where.text
        (frames,) = await debugger.run("backtrace")
        assert isinstance(frames, Output)
        assert "tell (" in frames.text.splitlines()[0]
        assert "main () at " in frames.text
        await debugger.run("delete")
        await debugger.run("up")
        (line,) = await debugger.run("info frame")
        assert isinstance(line, Output)
        assert "witness.c" in line.text


async def test_modules_are_those_that_the_guest_lists(tasks: Replay, tasks_guest: Tasks) -> None:
    text = console_of(tasks.recording.layout.root)
    listed = _MODULE.search(text)
    assert listed
    expected = {name: int(address, 16) for address, name in _IN_MODULE.findall(text)}
    assert len(expected) == 2
    await tasks.seek(printed(tasks, "witness: main"))
    async with Debugger.on(tasks, "gdb", None) as debugger:
        session = debugger.session
        (modules,) = await answers(session, "info modules")
        assert isinstance(modules, Modules)
        assert [(each.name, each.base) for each in modules.modules] == [("failover", int(listed[3], 16))]
        (said,) = await answers(session, "symbols failover")
        assert isinstance(said, Message)
        for name, address in expected.items():
            assert await debugger.symbols.number(f"&{name}") == address
        # And from its file, of which each section lies where the kernel has put it.
        await debugger.run("remove-symbol-file -a " + f"{min(expected.values()):#x}")
        await answers(session, f"symbols {tasks_guest.module}")
        for name, address in expected.items():
            assert await debugger.symbols.number(f"&{name}") == address
        with pytest.raises(UsageError, match="no module of that name is loaded here"):
            await answers(session, "symbols e1000")
        await tasks.seek(printed(tasks, "tasks: listed"))
        (none,) = await answers(session, "info modules")
        assert none == Modules(())


async def test_in_a_gdb_of_ones_own(tasks_recording: Path, tasks_guest: Tasks, tmp_path: Path) -> None:
    told = _WITNESS.search(console_of(tasks_recording))
    assert told
    script = (
        f"set remotetimeout 60\n{init_line()}\nrrdbg open {tasks_recording}\nrrdbg seek console witness: main\n"
        f"rrdbg symbols {tasks_guest.program}\ninfo address main\nrrdbg modules\n"
        'print $rr_in_task("witness")\nprint $rr_in_task("init")\n'
        "set rrdbg task init\nshow rrdbg task\nset rrdbg task all\n"
    )
    lines = await output_of("gdb", script=script, folder=tmp_path)
    assert any(f"at address {told[1]}" in line for line in lines), "\n".join(lines)
    assert any(line.startswith("failover") for line in lines)
    assert [line for line in lines if line.startswith("$")] == ["$1 = 1", "$2 = 0"]
    assert "rrdbg task is: init" in lines


def test_what_a_program_tells_of_itself(tasks_guest: Tasks) -> None:
    assert read_program(tasks_guest.module).is_module
    program = read_program(tasks_guest.program)
    assert not program.is_module
    assert program.note
    with pytest.raises(UsageError, match="is no ELF file"):
        read_program(Path(__file__))
