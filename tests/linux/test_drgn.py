"""drgn at the cursor: it reads what the replay reads, wherever the cursor goes, also in a predicate of a bisect."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import drgn
import pytest

import rrdbg
from rrdbg.errors import UsageError
from rrdbg.model.linux.kernel import Kernel
from rrdbg.store.linux_file import load_kernel
from rrdbg.store.recording import Recording
from tests.guests.build import run_tool
from tests.linux.test_kernel import told

pytestmark = [pytest.mark.linux, pytest.mark.timeout(600)]

_LINKED_AT = 0xFFFFFFFF81000000


@pytest.fixture(scope="module")
def kernel(tasks_recording: Path) -> Kernel:
    """What was found out about the guest's kernel."""
    with Recording.peek(tasks_recording) as recording:
        kept = load_kernel(recording)
    assert kept
    assert kept.kernel
    return kept.kernel


@pytest.fixture(scope="module")
def jiffies(tasks_recording: Path) -> int:
    """Where the kernel counts the ticks of its clock."""
    return told(tasks_recording)["jiffies_64"]


@pytest.fixture
def replay(tasks_recording: Path) -> Iterator[rrdbg.Replay]:
    with rrdbg.open(tasks_recording, gdb=None) as opened:
        yield opened


def make_vmlinux(path: Path, kernel: Kernel) -> Path:
    """A vmlinux of the guest's kernel as far as drgn needs it here: one variable, and its type."""
    base, offsets = kernel.base, kernel.offsets
    assert base
    members = sorted((offsets[f"task_struct.{name}"], text) for name, text in _MEMBERS.items())
    lines, here = [], 0
    for place, text in members:
        lines += [f"char before_{place}[{place - here}];", f"{text};"]
        here = place + (16 if "[" in text else 4)
    source = path.with_suffix(".c")
    source.write_text(
        f"struct task_struct {{ {' '.join(lines)} }} __attribute__((packed));\n"
        'struct task_struct init_task __attribute__((section(".data"))) = { .pid = 1 };\n'
        '__attribute__((section(".init.text"))) void start(void) {}\n'
    )
    linked = {name: kernel.addresses[name] - base + _LINKED_AT for name in ("init_task", "linux_banner")}
    run_tool("gcc", "-g", "-c", "-mcmodel=kernel", "-fno-pic", "-o", str(path.with_suffix(".o")), str(source))
    run_tool(
        "ld", f"--build-id=0x{kernel.build_id}", f"-Tdata={linked['init_task']:#x}", "-e", "start",
        f"--section-start=.init.text={_LINKED_AT:#x}", f"--defsym=linux_banner={linked['linux_banner']:#x}",
        "-o", str(path), str(path.with_suffix(".o")),
    )  # fmt: skip
    return path


_MEMBERS = {"pid": "int pid", "tgid": "int tgid", "comm": "char comm[16]"}


def test_it_reads_what_the_replay_reads_and_follows(replay: rrdbg.Replay, kernel: Kernel, jiffies: int) -> None:
    program = replay.drgn()
    read = set()
    for icount in (kernel.seen.icount + 60_000_000, kernel.seen.icount + 20_000_000, replay.end.icount):
        replay.seek(icount)
        for name in ("linux_banner", "init_task", "__per_cpu_offset"):
            address = kernel.addresses[name]
            assert program.symbol(name).address == address
            assert program.read(address, 256) == replay.read_memory(address, 256), (name, icount)
        assert program.read_u64(jiffies) == int.from_bytes(replay.read_memory(jiffies, 8), "little")
        read.add(program.read_u64(jiffies))
    assert len(read) == 3, "time goes on"
    replay.step(3)
    assert program.read(kernel.addresses["init_task"], 64) == replay.read_memory(kernel.addresses["init_task"], 64)
    assert replay.drgn() is program
    replay.seek("start")
    with pytest.raises(drgn.FaultError):
        program.read_u64(jiffies)  # no page tables are there yet


def test_a_vmlinux_gives_types(tasks_recording: Path, tmp_path: Path, kernel: Kernel) -> None:
    vmlinux = make_vmlinux(tmp_path / "vmlinux", kernel)
    with rrdbg.open(tasks_recording, symbols=vmlinux, gdb=None) as replay:
        replay.seek("end")
        task = replay.drgn()["init_task"]
        assert task.address_of_().value_() == kernel.addresses["init_task"]
        assert (task.comm.string_(), task.pid.value_()) == (b"swapper/0", 0)
    other = make_vmlinux(tmp_path / "other", replace(kernel, build_id="ab" * 20))
    with (
        rrdbg.open(tasks_recording, symbols=other, gdb=None) as replay,
        pytest.raises(UsageError, match=r"another build \(build id abababababab\)"),
    ):
        replay.drgn()


@pytest.mark.matrix  # 10 s, as the next one
def test_a_bisect_may_ask_it(replay: rrdbg.Replay, tasks_recording: Path, tmp_path: Path, jiffies: int) -> None:
    """Where the third tick of a stretch comes, as a watchpoint has it."""
    start = replay.end.icount - 40_000_000
    replay.seek(start)
    ticks = []
    for hit in replay.writes(jiffies, 8, start=start):
        assert hit.change
        ticks.append((hit.position.icount, int.from_bytes(hit.change.after, "little")))
        if len(ticks) == 3:
            break
    place, count = ticks[2]
    replay.close()
    predicate = tmp_path / "ticks.py"
    predicate.write_text(f"def late(replay):\n    return replay.drgn().read_u64({jiffies}) >= {count}\n")
    done = subprocess.run(
        [
            sys.executable, "-m", "rrdbg", "bisect", str(tasks_recording), "--python", f"{predicate}:late", "--json",
            "--good", str(start), "--bad", str(place + 100_000), "--no-gdb",
        ],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    *_, turn = map(json.loads, done.stdout.splitlines())
    assert (turn["kind"], turn["before"]["icount"], turn["position"]["icount"]) == ("turn", place, place + 1)


@pytest.mark.matrix
def test_its_shell_and_its_scripts_follow_the_cursor(
    replay: rrdbg.Replay, tasks_recording: Path, tmp_path: Path, jiffies: int
) -> None:
    expected = []
    for place in ("end", "90%"):
        replay.seek(place)
        expected.append(int.from_bytes(replay.read_memory(jiffies, 8), "little"))
    replay.close()
    script = tmp_path / "ticks.py"
    script.write_text(
        "import sys\nprint(prog.read_u64(int(sys.argv[1])))\nreplay.seek(sys.argv[2])\n"
        "print(prog.read_u64(int(sys.argv[1])))\nassert __name__ == '__main__'\n"
    )
    words = [sys.executable, "-m", "rrdbg", "drgn", str(tasks_recording)]

    def said(*more: str, typed: str = "", status: int = 0) -> str:
        done = subprocess.run([*words, *more], input=typed, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr

    assert [int(line) for line in said("--", str(script), str(jiffies), "90%").split()] == expected
    typed = f"print('tick', prog.read_u64({jiffies}))\nreplay.seek('90%')\nprint('tick', prog.read_u64({jiffies}))\n"
    lines = said(typed=typed).replace(">>> ", "").splitlines()
    assert [int(line.split()[1]) for line in lines if line.startswith("tick ")] == expected
    script.write_text("prog.read_u64(0)\n")
    assert "FaultError" in said("--", str(script), status=1)
    assert "There is no script" in said("--", str(tmp_path / "none.py"), status=2)


def test_without_drgn_it_says_so(replay: rrdbg.Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "drgn", None)
    with pytest.raises(UsageError, match=r"not in the Python that rrdbg runs in: pip install 'rrdbg\[drgn\]'"):
        replay.drgn()
