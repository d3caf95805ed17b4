"""Guests to record: two bare-metal programs (`tests.guests.build`) and a Linux (`tests.guests.linux`)."""
