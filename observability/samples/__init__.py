"""Figures over time: what was counted, how it is kept, how it is asked for."""
