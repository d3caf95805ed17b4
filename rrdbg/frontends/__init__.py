"""The faces of rrdbg; none of them decides anything."""
