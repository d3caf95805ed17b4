"""Tests of the remote-protocol server."""
