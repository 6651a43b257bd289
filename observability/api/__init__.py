"""What was collected, over the REST API: usage, series, the trail. The rest is in `tenants.api`."""
