"""`ensemble up`: an ensemble and its console on one machine, started, watched and stopped as one.

A shell around `ensemble server`: it writes configurations, starts processes and looks after them.
Nothing here takes part in the protocol, and no server needs it.
"""
