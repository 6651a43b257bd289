"""Pages of tenants: one module for each page and the forms on it."""
