"""The programs that we talk to, spoken to by a test that plays them."""
