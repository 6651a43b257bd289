"""Pages of the plane as a whole: requests, plans, ensembles, tokens, the trail."""
