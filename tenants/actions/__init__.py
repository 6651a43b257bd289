"""Every change of what the plane keeps: one named function each.

Each takes who acts first, checks the values (the caller has checked the right, by `access`), and
writes its audit row in its own transaction; what the ensemble has to hear of follows the commit
(`tenants.publication`). Refusals are `tenants.errors.ActionError`s, and change nothing.
"""
