"""Pages that look inside: sessions, locks, one node."""
