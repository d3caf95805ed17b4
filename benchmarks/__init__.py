"""Measurements, not tests: each module is a command that prints figures, and keeps them as JSON."""
