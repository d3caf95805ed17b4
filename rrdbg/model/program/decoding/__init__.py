"""What an instruction reads and writes, on each architecture, by Capstone."""
