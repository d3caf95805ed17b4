"""What several front ends share: how a recording is opened, a GDB of our own, and what is shown meanwhile."""
