"""The index of what lives in the trees now: kept by the collector, searched by path and value."""
