"""The shell: lines that are read, run by us or by GDB, and answered; prompt_toolkit where there is a terminal."""
