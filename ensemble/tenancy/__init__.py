"""Tenants: who they are, what they see, how much they may take, what they cost. Pure rules.

No clock, socket, file or chance in here; `server.gate` asks these rules for every request.
"""
