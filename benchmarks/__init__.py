"""Measurements of a server, ours or Apache's, from outside: `python -m benchmarks.run`."""
