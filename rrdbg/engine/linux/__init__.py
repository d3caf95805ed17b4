"""What rrdbg knows of a guest that runs Linux."""
