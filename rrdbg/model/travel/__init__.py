"""How to get somewhere: plans, segments, where snapshots and spare processes pay."""
