"""What is known of a Linux kernel in a guest, and how its own tables are read."""
