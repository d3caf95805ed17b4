"""Record a guest again and again, each time a little different, until it fails."""
