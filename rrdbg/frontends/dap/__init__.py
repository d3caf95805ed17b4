"""A debug adapter: an editor at a recording, by the Debug Adapter Protocol on standard input and output.

It stands on the Python API, as the shell does, with a GDB beneath by GDB/MI: GDB's own adapter needs GDB 16 to be added
to, and has no request to go back. So every GDB that rrdbg supports will do.
"""
