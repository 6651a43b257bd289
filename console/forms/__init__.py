"""What people fill in: fields, bounds and words. What is done with it stands in tenants.actions."""
