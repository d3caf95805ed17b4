"""Snapshots: taken on the way, thinned to a budget, proved by a second process."""
