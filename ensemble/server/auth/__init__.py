"""Who somebody is: auth packets, SASL, certificates, session passwords.

What an identity may do is decided in `tree.acl`; here it is established.
"""
