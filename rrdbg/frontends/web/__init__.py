"""A recording as a page to work in, served on this machine alone.

The page runs the registry's commands and GDB's own on one session, as the shell does; nothing that a guest says is ever
more than text there, and nothing of the page's comes from elsewhere.
"""
