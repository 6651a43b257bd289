"""The znode browser: one page over any tree, and what its script asks for."""
