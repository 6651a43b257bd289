"""The collector's process: asks nodes, writes what they say. `manage.py collect` runs it."""
