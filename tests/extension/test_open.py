"""``rrdbg open``, and the interpreter that the extension runs in."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path

from rrdbg.frontends.cli.gdbinit import init_line
from tests.extension.conftest import SCRIPT, output_of
from tests.processes import qemus_in

RRDBG = f"{shlex.quote(sys.executable)} -m rrdbg"


async def test_a_recording_is_opened_and_let_go(heapbug_recording: Path, program: str, tmp_path: Path) -> None:
    script = (
        f"{init_line()}\nrrdbg open {heapbug_recording}\nrrdbg seek end\nwatch tasks[3].magic\nreverse-continue\n"
        f"rrdbg open {heapbug_recording}\n"
        'printf "at %llu\\n", $rr_icount\n'
        "python\ntry:\n    gdb.execute('rrdbg open /no/such/recording')\nexcept gdb.error as error:\n"
        "    print('refused:', error)\nend\n"
    )
    lines = await output_of(program, script=script, folder=tmp_path)
    # The symbols are those of the recorded kernel.
    hit = next(number for number, line in enumerate(lines) if line.startswith("Old value = "))
    assert lines[hit : hit + 2] == [f"Old value = {0x5461736B4D616700}", f"New value = {0x5461736B4D616769}"]
    assert "log_append" in lines[hit + 2]
    assert "at 0" in lines
    assert sum("instructions; the cursor is at 0." in line for line in lines) == 2
    assert any(line.startswith("refused: There is no recording /no/such/recording") for line in lines)
    assert not qemus_in(heapbug_recording)


async def test_no_server_outlives_a_gdb_that_is_killed(heapbug_recording: Path, program: str) -> None:
    process = await asyncio.create_subprocess_exec(
        program, "-q", "-nx", "-ex", f"source {SCRIPT}", "-ex", f"set rrdbg program {RRDBG}",
        "-ex", f"rrdbg open {heapbug_recording}", "-ex", "rrdbg seek 50%", "-ex", "echo here I am\\n",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while b"here I am" not in await process.stdout.readline():
            pass
        assert qemus_in(heapbug_recording)
        process.kill()
        await process.communicate()
    # That no QEMU is left then, the suite checks after each test.


async def test_gdbs_interpreter_needs_nothing_but_its_standard_library(
    heapbug_recording: Path, program: str, tmp_path: Path
) -> None:
    """Without any other package in sight, and with another rrdbg's environment around."""
    script = (
        "python\nimport sys\nbefore = set(sys.modules)\n"
        "sys.path[:] = [path for path in sys.path if '-packages' not in path and 'rrdbg' not in path]\nend\n"
        f"source {SCRIPT}\nset rrdbg program {RRDBG}\nrrdbg open {heapbug_recording}\nrrdbg seek 50%\n"
        'print $rr_at("rounds", 0)\ncomplete rrdbg seek \n'
        "python\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print('foreign:', sorted(loaded - set(sys.stdlib_module_names) - {'rrdbg'}))\n"
        "wanted = ('rrdbg.commands', 'rrdbg.engine', 'rrdbg.links', 'rrdbg.render', 'rrdbg.store')\n"
        "print('ours:', [name for name in sys.modules if name.startswith(wanted)])\n"
        "print('path:', [path for path in sys.path if 'rrdbg' in path])\n"
        "end\n"
    )
    lines = await output_of(program, script=script, folder=tmp_path)
    assert "foreign: []" in lines
    assert "ours: []" in lines
    assert "path: []" in lines
