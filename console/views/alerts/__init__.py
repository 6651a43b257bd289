"""Pages about alerts: the whole plane's, and within each tenant those of that tenant."""
