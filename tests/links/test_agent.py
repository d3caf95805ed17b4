"""The plugin's evaluator of agent expressions, built by itself, says what Python's says."""

from __future__ import annotations

import ctypes
import subprocess
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrdbg.links import plugin as plugin_module
from rrdbg.links.tally import Judging, create_tally
from rrdbg.model.hits.condition import Condition
from rrdbg.model.hits.stop import Breakpoint
from rrdbg.model.program.agent import BadExpression, Expression, NeedMemory

MEMORY = bytes(range(7, 199)) + bytes(16)
BASE = 0x1000
REGISTERS = {3: 0x1122334455667788, 9: 0xFFFFFFFFFFFFFF80, 40: 0}
UNCLEAR = -1

# QEMU's side of the interface: a guest of three registers and a little memory.
HARNESS = """
#include "tally.c"
#include <stdlib.h>
uint8_t memory[%d];
uint64_t contents[%d];
uint64_t numbers[%d];
static char names[%d][32];
struct bytes *g_byte_array_new(void) {
    struct bytes *made = calloc(1, sizeof *made);
    made->data = calloc(1, 64);
    return made;
}
struct bytes *g_byte_array_set_size(struct bytes *array, unsigned int length) { array->length = length; return array; }
char *g_array_free(struct array *array, int free_segment) { (void)array, (void)free_segment; return NULL; }
unsigned int g_array_get_element_size(struct array *array) { (void)array; return sizeof(struct known_register); }
struct array *qemu_plugin_get_registers(void) {
    static struct known_register known[%d];
    static struct array array = {(char *)known, %d};
    for (uint64_t i = 0; i < %d; i++) {
        sprintf(names[i], "r%%d", (int)numbers[i]);
        known[i].handle = &contents[i], known[i].name = names[i];
    }
    return &array;
}
int qemu_plugin_read_register(void *handle, struct bytes *buffer) {
    for (int i = 0; i < 8; i++)
        buffer->data[tally->big_endian ? 7 - i : i] = (uint8_t)(*(uint64_t *)handle >> 8 * i);
    buffer->length = 8;
    return 8;
}
bool qemu_plugin_read_memory_vaddr(uint64_t address, struct bytes *buffer, size_t length) {
    if (address < %d || address > %d - length)
        return false;
    memcpy(buffer->data, memory + (address - %d), length);
    buffer->length = (unsigned int)length;
    return true;
}
EXPORT int judge(const char *path) {
    if (!open_tally(path))
        return -2;
    buffer = buffer ? buffer : g_byte_array_new();
    return holds(programs);
}
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("agent")
    for name in plugin_module._SOURCES:
        (folder / name).write_bytes(resources.files("rrdbg.links").joinpath(name).read_bytes())
    count, end = len(REGISTERS), BASE + len(MEMORY)
    source = HARNESS % (len(MEMORY), count, count, count, count, count, count, BASE, end, BASE)
    (folder / "harness.c").write_text(source)
    flags = ["-std=gnu17", "-O1", "-g", "-fPIC", "-shared", "-DAPI_VERSION=4", "-fsanitize=undefined"]
    flags += ["-fsanitize-undefined-trap-on-error"]
    subprocess.run(["gcc", *flags, "-o", str(folder / "harness.so"), str(folder / "harness.c")], check=True)
    made = ctypes.CDLL(str(folder / "harness.so"), mode=ctypes.RTLD_LOCAL | 1)
    ctypes.memmove(ctypes.addressof(ctypes.c_char.in_dll(made, "memory")), MEMORY, len(MEMORY))
    for name, content in (("contents", REGISTERS.values()), ("numbers", REGISTERS)):
        array = (ctypes.c_uint64 * len(REGISTERS)).in_dll(made, name)
        array[:] = list(content)
    return made


def ours(code: bytes, order: str) -> int:
    """What Python says: 1, 0 or that it is not clear."""
    run = Expression(code).evaluate("big" if order == "big" else "little")
    try:
        need = next(run)
        while True:
            if isinstance(need, NeedMemory):
                offset = need.address - BASE
                if not 0 <= offset <= len(MEMORY) - need.length:
                    return UNCLEAR
                need = run.send(MEMORY[offset : offset + need.length])
            elif need.number in REGISTERS:
                need = run.send(REGISTERS[need.number])
            else:
                return UNCLEAR
    except StopIteration as result:
        return int(result.value != 0)
    except BadExpression:
        return UNCLEAR


PLAIN = [0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0F, 0x10, 0x11, 0x13, 0x14, 0x15]
OTHERS = [0x0E, 0x12, 0x17, 0x18, 0x19, 0x1A, 0x28, 0x29, 0x2B, 0x33, 0x0C, 0x27]
edges = st.sampled_from([0, 1, 2, 63, 64, 255, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]) | st.integers(
    0, (1 << 64) - 1
)
constants = edges.map(lambda value: b"\x25" + value.to_bytes(8, "big"))
places = st.integers(BASE - 4, BASE + len(MEMORY) + 4).map(lambda value: b"\x23" + value.to_bytes(2, "big"))
reads = st.sampled_from([*REGISTERS, 5]).map(lambda number: b"\x26" + number.to_bytes(2, "big"))
simple = st.sampled_from([*PLAIN, *PLAIN, *OTHERS]).map(lambda opcode: bytes([opcode]))
narrow = st.tuples(st.sampled_from([0x16, 0x2A, 0x32, 0x0D]), st.integers(0, 70)).map(bytes)
jumps = st.tuples(st.sampled_from([0x20, 0x21]), st.just(0), st.integers(0, 80)).map(bytes)
anything = st.binary(min_size=1, max_size=3)
codes = st.lists(constants | constants | places | reads | simple | simple | narrow | jumps | anything, max_size=24).map(
    lambda parts: b"".join(parts) + b"\x27"
)


@settings(max_examples=500)
@given(code=codes, order=st.sampled_from(["little", "big"]))
def test_says_what_python_says(
    plugin: ctypes.CDLL, tmp_path_factory: pytest.TempPathFactory, code: bytes, order: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "agent-tally"
    path.unlink(missing_ok=True)
    names = {number: f"r{number}" for number in REGISTERS}
    judging = Judging({0: Condition((Expression(code),))}, names, "big" if order == "big" else "little")
    create_tally(path, [Breakpoint(1, 0)], judging)
    assert plugin.judge(str(path).encode()) == ours(code, order)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("2200" + "21" + "0000" + "27", UNCLEAR),  # pushes for ever
        ("21" + "0000" + "27", UNCLEAR),  # runs for ever
        ("25" + "8000000000000000" + "25" + "ffffffffffffffff" + "05" + "27", 1),  # the quotient that overflows
        ("25" + "8000000000000000" + "25" + "ffffffffffffffff" + "07" + "27", 0),
        ("2201" + "2200" + "08" + "27", UNCLEAR),  # by zero
        ("26" + "0003" + "25" + "1122334455667788" + "13" + "27", 1),
        ("23" + "1000" + "17" + "2207" + "13" + "27", 1),
        ("23" + "0fff" + "17" + "27", UNCLEAR),  # not mapped
        ("2201", UNCLEAR),  # ends too early
        ("", UNCLEAR),
    ],
)
def test_bounds(plugin: ctypes.CDLL, tmp_path: Path, code: str, said: int) -> None:
    names = {number: f"r{number}" for number in REGISTERS}
    judging = Judging({0: Condition((Expression(bytes.fromhex(code)),))}, names)
    create_tally(tmp_path / "tally", [Breakpoint(1, 0)], judging)
    assert plugin.judge(str(tmp_path / "tally").encode()) == ours(bytes.fromhex(code), "little") == said
