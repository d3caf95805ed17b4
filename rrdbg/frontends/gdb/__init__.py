"""rrdbg's commands inside of any GDB.

GDB's interpreter may be another Python than the one in which rrdbg is installed, so nothing is imported here but the
standard library, ``gdb``, and rrdbg's errors and model, which need no more themselves. What GDB sources is load.py.
"""
