"""Rules looked at by the collector, alerts kept, people told.

`picture` reads what the database says, `checks` compare it with the rules, `machine` decides what
that means for each alert, `evaluate` writes it, `outbox` and `deliver` tell channels of it, and
`read` is for pages: `read.firing`, `read.firing_counts`.
"""
