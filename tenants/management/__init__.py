"""Commands of `manage.py` that operators type."""
