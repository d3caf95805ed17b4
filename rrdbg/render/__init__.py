"""Values turned into text or JSON; no decisions are made here."""
