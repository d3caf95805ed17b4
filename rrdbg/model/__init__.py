"""What things are: pure values, no input or output."""
