"""The shell around the core: sockets, clocks, tasks, signals. No other folder has them."""
