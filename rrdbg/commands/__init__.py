"""What users can say: one registry of commands, used by every front end."""
