"""Who may use what: the desired state of tenants, their people, plans and credentials, in SQL.

Every write is a named function in `actions`; what an ensemble has to know of it is published into
its registry (`publication`). No HTML here: pages are the console's, the REST API is in `api`.
"""
