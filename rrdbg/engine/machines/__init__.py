"""Machines on the snapshots of one recording: where they come from, how one walks forward, what state it is in."""
