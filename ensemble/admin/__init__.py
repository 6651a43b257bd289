"""Tenants from the operator's side: documents are made and changed, credentials given and taken.

Writes the registry of docs/tenancy.md through the client; servers read it. No server is in here.
"""
