"""The test-suite; `tests.guests` builds the programs that it debugs."""
