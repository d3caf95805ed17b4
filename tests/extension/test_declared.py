"""What the commands are called in GDB, and that the shipped file has those of the registry."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rrdbg.commands.declarations import declarations
from rrdbg.commands.help import COMMANDS
from rrdbg.frontends.gdb.declared import Vocabulary, help_text

ROOT = Path(__file__).parent.parent.parent


def test_what_is_made_from_the_registry_is_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts" / "reference.py", "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_the_shipped_vocabulary_is_what_a_server_declares() -> None:
    assert Vocabulary.shipped() == Vocabulary.read(json.loads(json.dumps(declarations())))


def test_every_command_that_gdb_lacks_can_be_reached() -> None:
    vocabulary = Vocabulary.shipped()
    reached = set(vocabulary.names.values())
    reached |= {variant for command in reached for variant in vocabulary.variants(command)}
    expected = {command.name for command in COMMANDS.commands if not command.in_gdb} - {"help", "quit"}
    assert {command.name for command in reached} == expected | {"stepi", "reverse-stepi", "watch", "finish"}


def test_names() -> None:
    names = Vocabulary.shipped().names
    assert names["snapshots"].name == names["info snapshots"].name == "info snapshots"
    assert names["timeline"].name == "info timeline"
    # There is a command 'console', which is not about how much is printed.
    assert names["console"].name == "console"
    assert names["info console"].name == "info console"
    # 'seek' reads what follows it.
    assert "seek console" not in names
    assert "break" not in names
    assert "quit" not in names


def test_help_has_the_variants_and_examples() -> None:
    vocabulary = Vocabulary.shipped()
    seek = vocabulary.names["seek"]
    lines = help_text("seek", seek, vocabulary.variants(seek)).splitlines()
    assert lines[:2] == ["Go to a position.", "Usage: rrdbg seek POSITION"]
    assert "rrdbg seek console TEXT" in lines
    assert "  rrdbg seek 50%" in lines
    what_if = vocabulary.names["what-if"]
    assert help_text("what-if", what_if).splitlines()[-3:] == [
        "  rrdbg what-if on", "  set var limit = 16", "  rrdbg what-if off",
    ]  # fmt: skip
    assert "> writes.csv" not in help_text("writes", vocabulary.names["writes"]), "GDB writes no tables into files"
    assert max(map(len, lines)) < 100


def test_declarations_of_another_form_are_not_used() -> None:
    assert Vocabulary.read({"version": 2, "commands": "?"}).names == {}
