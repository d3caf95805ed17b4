"""rrdbg's own remote-protocol server: what GDB connects to."""
