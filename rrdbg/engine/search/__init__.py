"""Searches for hits of breakpoints and watchpoints, on stretches of the timeline."""
