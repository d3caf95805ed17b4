"""What rrdbg knows of Linux, against what Linux says itself."""
