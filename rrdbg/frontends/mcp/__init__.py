"""Recordings for agents: a server of the Model Context Protocol on standard input and output.

Every tool is given a recording and a position, and answers with positions, source lines and what was searched; none
depends on what was asked before. The SDK, an extra (``rrdbg[mcp]``), is used in :mod:`rrdbg.frontends.mcp.server` and
:mod:`rrdbg.frontends.mcp.tools` alone.
"""
