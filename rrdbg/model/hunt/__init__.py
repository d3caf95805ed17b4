"""Runs of one guest, each a little different: what is changed, how often it failed, what that says."""
