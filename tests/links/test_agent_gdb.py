"""What GDB works out of an expression, the bytecode that it compiles it to says, too: in Python, and in our C."""

from __future__ import annotations

import ctypes
import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from rrdbg.links.tally import Judging, create_tally
from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.stop import Breakpoint
from rrdbg.model.program.agent import BadExpression, Expression, NeedMemory
from rrdbg.model.program.tracing import read_listings
from tests.links.test_agent import BASE, MEMORY, UNCLEAR, plugin  # noqa: F401

GDB = shutil.which("gdb")

PROGRAM = """
struct cache { signed char level; unsigned short size; int count; struct cache *next; unsigned flags : 5, kind : 3; };
signed char small = -3;
unsigned char byte = 200;
short twos[4] = {-1, 2, 32767, -32768};
unsigned short words[2] = {65535, 7};
int counter = -2147483647, zero;
unsigned int mask = 0xFFFF0000u;
long wide = -1234567890123;
unsigned long huge = 0xFEDCBA9876543210;
struct cache second = {-7, 12345, 99, 0, 17, 5}, first = {5, 64, -1, &second, 9, 2};
void begin(void) { for (;;); }
"""

ASK = """
import gdb, json
asked, told = json.load(open({asked!r})), []
for expression in asked:
    try:
        value = int(gdb.parse_and_eval("(" + expression + ") != 0"))
    except gdb.error as error:
        value = str(error)
    told.append([value, gdb.execute("maint agent-eval -at begin, (" + expression + ") != 0", to_string=True)])
json.dump(told, open({told!r}, "w"))
"""

VALUES = (
    "small", "byte", "twos[1]", "twos[zero]", "twos[words[1] & 3]", "words[0]", "counter", "zero", "mask", "wide",
    "huge", "first.count", "first.next->size", "first.next->level", "first.flags", "second.kind", "*twos", "(int)wide",
    "(unsigned char)huge", "(long)&second", "0", "1", "-1", "12345", "0x7fffffff", "4294967296",
)  # fmt: skip
OPERATORS = ("+", "-", "*", "/", "%", "&", "|", "^", "==", "!=", "<", "<=", ">", ">=", "&&", "||")


def expression(chosen: random.Random, depth: int) -> str:
    """Any C expression of these values."""
    if depth == 0 or chosen.random() < 0.15:
        return chosen.choice(VALUES)
    match chosen.randrange(10):
        case 0:
            return f"{chosen.choice('-~!')}({expression(chosen, depth - 1)})"
        case 1:
            return f"(({expression(chosen, depth - 1)}) {chosen.choice(('<<', '>>'))} {chosen.randrange(8)})"
        case _:
            operator = chosen.choice(OPERATORS)
            return f"({expression(chosen, depth - 1)} {operator} {expression(chosen, depth - 1)})"


def judged(code: Expression, memory: bytes) -> int:
    run = code.evaluate("little")
    try:
        need = next(run)
        while True:
            assert isinstance(need, NeedMemory), "there are no registers"
            offset = need.address - BASE
            assert 0 <= offset <= len(memory) - need.length
            need = run.send(memory[offset : offset + need.length])
    except StopIteration as result:
        return int(result.value != 0)
    except BadExpression:
        return UNCLEAR


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ELF file whose data lies where the harness of the plugin has its memory."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "program.c").write_text(PROGRAM)
    flags = [
        "-g",
        "-O0",
        "-static",
        "-nostdlib",
        "-ffreestanding",
        "-fno-pic",
        "-no-pie",
        "-fno-zero-initialized-in-bss",
    ]
    places = [f"-Wl,-Tdata={BASE:#x}", "-Wl,-Ttext=0x400000", "-Wl,-ebegin", "-Wl,--build-id=none"]
    made = folder / "program"
    subprocess.run(["gcc", *flags, *places, "-o", str(made), str(folder / "program.c")], check=True)
    return made


@pytest.mark.skipif(GDB is None, reason="there is no GDB to compare with")
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.matrix) for seed in range(2, 20))])
def test_gdb_python_and_c_agree(request: pytest.FixtureRequest, tmp_path: Path, program: Path, seed: int) -> None:
    harness: ctypes.CDLL = request.getfixturevalue("plugin")
    data = tmp_path / "data"
    subprocess.run(["objcopy", "-O", "binary", "-j", ".data", str(program), str(data)], check=True)
    memory = data.read_bytes().ljust(len(MEMORY), b"\0")
    assert len(memory) == len(MEMORY)
    chosen = random.Random(seed)
    expressions = [expression(chosen, 4) for _ in range(200)]
    asked, told, script = tmp_path / "asked.json", tmp_path / "told.json", tmp_path / "ask.py"
    asked.write_text(json.dumps(expressions))
    script.write_text(ASK.format(asked=str(asked), told=str(told)))
    subprocess.run([str(GDB), "-nx", "-batch", "-x", str(script), str(program)], check=True, capture_output=True)
    ctypes.memmove(ctypes.addressof(ctypes.c_char.in_dll(harness, "memory")), memory, len(memory))
    clear = 0
    try:
        for text, (value, listing) in zip(expressions, json.loads(told.read_text()), strict=True):
            (code,) = read_listings(listing).values()
            path = tmp_path / "tally"
            path.unlink(missing_ok=True)
            create_tally(path, [Breakpoint(1, 0)], Judging({0: Condition((code,))}))
            ours = judged(code, memory)
            assert (text, harness.judge(str(path).encode())) == (text, ours)
            # Of a constant that is divided by zero GDB compiles the constant alone.
            assert (text, value) == (text, ours) or value == "Division by zero"
            clear += isinstance(value, int)
    finally:
        ctypes.memmove(ctypes.addressof(ctypes.c_char.in_dll(harness, "memory")), MEMORY, len(MEMORY))
    assert clear > 100
