"""The recording as a line: positions, clocks, events, costs, and what lies along it."""
