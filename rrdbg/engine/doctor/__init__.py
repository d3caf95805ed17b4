"""Examinations: of this machine, of a recording, and of a guest that somebody wants to record."""
