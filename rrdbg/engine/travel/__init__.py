"""Bringing the cursor where it is wanted: plans carried out, by machines that may be waiting already."""
