"""Questions about the whole of a recording, answered by moving through it."""
