"""The only code that talks to other programs."""
