"""Bytes <-> values: ZooKeeper's client protocol and the bodies of its transactions.

No tree, no peers, no sockets. Everything here is a pure function of bytes.
"""
