"""The machine that is recorded: its command line, drives, network and ports, and what they do to a replay."""
