"""Tests of what rrdbg keeps on disk."""
