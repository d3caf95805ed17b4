"""Breakpoints and watchpoints, where they were hit, and what is asked of the guest there."""
