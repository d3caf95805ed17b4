"""Random operations of all kinds for a long time, with a watch on what leaks and on what is wrong."""
