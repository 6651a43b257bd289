"""Consensus: who leads, and in which order every member writes (docs/protocol: election, zab).

Pure state machines, one file for each phase. A transaction is bytes here; the caller hands in time
and messages, and performs the effects that come back, in their order.
"""
