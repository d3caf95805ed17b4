"""The guest's program: expressions, instructions, functions and variables."""
