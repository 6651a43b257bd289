"""Consensus: election, discovery, synchronization, broadcast, as state machines that only compute."""
