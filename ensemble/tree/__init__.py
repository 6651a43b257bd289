"""The replicated state machine: znodes, sessions, watches. Pure; no I/O, no clock."""
