"""Policy as code: plans and tenants as one document, which is compared with SQL and applied.

Ensembles and secrets are no part of it. What a document does not mention stays as it is.
"""
