"""Guests to record: bare-metal programs (`tests.guests.build`), some with bugs, and a Linux (`tests.guests.linux`)."""
