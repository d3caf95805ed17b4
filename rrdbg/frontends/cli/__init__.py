"""The command ``rrdbg``: a module for each subcommand that is no front end of its own."""
