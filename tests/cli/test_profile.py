"""What a recording tells for other programs, as a user has it written."""

from __future__ import annotations

import io
import json
from pathlib import Path

import gprof2dot
from lcov_cobertura import LcovCobertura

from tests.cli.conftest import Cli


def test_the_commands_write_files(cli: Cli, workload: Path, workload_guest: Path, tmp_path: Path) -> None:
    """Each once, as a user runs it; what is there already is not written over."""
    words = (str(workload), "--symbols", str(workload_guest), "--from", "7000000", "--to", "7010000")
    trace, tracefile, log, calls = (tmp_path / name for name in ("perf.txt", "lcov.info", "drcov.log", "calls.txt"))
    cli("profile", *words, "--every", "2000", "-o", str(trace))
    parsed = gprof2dot.PerfParser(io.StringIO(trace.read_text())).parse()
    assert {"fold", "mix", "do_round", "main"} <= {function.name for function in parsed.functions.values()}
    assert "is there already" in cli("profile", *words, "-o", str(trace), check=2).stderr
    listed = cli("cover", *words, "--json", "--lcov", str(tracefile), "--drcov", str(log)).stdout.splitlines()
    rows = [json.loads(line) for line in listed]
    assert {"covered-code"} == {row["kind"] for row in rows}
    assert {"fold", "mix", "do_round"} <= {row["function"] for row in rows}
    assert LcovCobertura(tracefile.read_text()).parse()["summary"]["lines-covered"] > 5
    assert log.read_bytes().startswith(b"DRCOV VERSION: 2\n")
    cli("ftrace", *words, "-f", "mix", "-o", str(calls))
    marks = [line for line in calls.read_text().splitlines() if not line.startswith("#")]
    assert len(marks) > 10
    begun, ended = (sum(mark in line for line in marks) for mark in ("B|0|mix", "E|0"))
    assert 0 <= begun - ended <= 1, "the last one may not have returned"
    assert "There is no function nobody" in cli("ftrace", *words, "-f", "nobody", check=2).stderr
